"""How many tokens is a text? An exact count when the model's own tokenizer has told us, an estimate until then.

The core does no I/O, so the edge counts beforehand: while parts are attached it asks the server for every text of
`counter.missing(prompt.texts)` and tells the answer by `counter.learn`. A send never waits for that: what is unknown is
estimated, and `calibrate` moves the estimate towards what `usage` reports. One counter per model.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import ceil

from cellar import wire
from cellar.context.pictures import picture_tokens

_PICTURES_SHARE = 0.2
_KEPT = 20_000  # texts whose counts are remembered; the oldest leave first
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = b"0123456789"
_BLANKS = b" \t"
_BEYOND_ASCII = bytes(range(128, 256))

MARGIN = 0.10  # added to what is only estimated when it is held against the budget


def estimate(text: str) -> int:
    """Tokens of a text, from its UTF-8 bytes alone (a few ns per byte).

    The weights are a least-squares fit to the tokenizer of SmolLM2 (49,000 entries) over Python, TypeScript, TOML,
    English, tables of numbers and JSON; texts of 2,500 characters came out between 0.84 and 1.29 of the truth. Bigger
    vocabularies need a little less. A Korean syllable (3 bytes) counts as one token, which holds for vocabularies
    made for many languages (one made for English needs two); `TokenCounter.calibrate` learns the rest from `usage`.
    """
    data = text.encode("utf-8", "replace")
    rest = data.translate(None, _LETTERS)
    letters = len(data) - len(rest)
    count, rest = len(rest), rest.translate(None, _DIGITS)
    digits = count - len(rest)
    count, rest = len(rest), rest.translate(None, _BLANKS)
    blanks = count - len(rest)
    count, rest = len(rest), rest.translate(None, _BEYOND_ASCII)
    high = count - len(rest)
    lines = rest.count(b"\n")
    signs = len(rest) - lines
    return ceil(0.23 * letters + 1.15 * digits + 0.15 * blanks + 0.33 * high + 0.75 * lines + 0.6 * signs)


class TokenCounter:
    """Counts by content hash. `ratio` is what one estimated token is worth for this model (kept by the edge between
    runs if it likes), `picture_ratio` the same for the tokens of pictures."""

    def __init__(self, ratio: float = 1.0) -> None:
        self.ratio = ratio
        self.picture_ratio = 1.0
        self._known: dict[bytes, int] = {}
        self._estimates: dict[bytes, int] = {}

    def count(self, text: str) -> tuple[int, bool]:
        """(tokens, exact)."""
        if not text:
            return 0, True
        key = _hash(text)
        known = self._known.get(key)
        if known is not None:
            return known, True
        guess = self._estimates.get(key)
        if guess is None:
            guess = self._estimates[key] = estimate(text)
            _trim(self._estimates)
        return ceil(guess * self.ratio), False

    def weigh(self, text: str) -> int:
        """Tokens to hold against a budget: an estimate carries its margin."""
        tokens, exact = self.count(text)
        return tokens if exact else ceil(tokens * (1 + MARGIN))

    def picture(self, image: wire.Image | None) -> int:
        """Tokens of a picture, always estimated."""
        return ceil(picture_tokens(image.data) * self.picture_ratio) if image is not None else 0

    def learn(self, text: str, tokens: int) -> None:
        """The server's tokenizer says so."""
        self._known[_hash(text)] = tokens
        _trim(self._known)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of the texts that are only estimated so far, each once."""
        return [text for text in dict.fromkeys(texts) if text and _hash(text) not in self._known]

    def calibrate(self, estimated: int, reported: int, pictures: int = 0) -> None:
        """`usage` reported the prompt that a receipt (`exact` false) had estimated, `pictures` tokens of it for its
        pictures. Half way there, within reason. With pictures nobody knows what of the difference is the text's: it
        counts as theirs where they are a good part of the prompt, and else as nobody's."""
        if estimated <= 64 or reported <= 64:
            return
        if not pictures:
            wanted = self.ratio * reported / estimated
            self.ratio = min(4.0, max(0.4, (self.ratio + wanted) / 2))
        elif pictures > estimated * _PICTURES_SHARE:
            wanted = self.picture_ratio * (reported - (estimated - pictures)) / pictures
            self.picture_ratio = min(4.0, max(0.1, (self.picture_ratio + wanted) / 2))


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _trim(counts: dict[bytes, int]) -> None:
    while len(counts) > _KEPT:
        del counts[next(iter(counts))]
