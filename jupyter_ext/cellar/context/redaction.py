"""Secrets do not leave the workspace: what looks like one becomes «secret:N», the same N for the same value in all of a
conversation. `secrets.py`, `assignments.py` and `phrases.py` know what a secret looks like; this module names, counts,
remembers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from secrets import token_bytes

import msgspec

from cellar import wire
from cellar.context.secrets import environment_values, find_secrets, in_base64, merge
from cellar.context.spans import Span

_PLACEHOLDER = re.compile(r"«secret:(\d{1,6})»")
_LETTER = r"[\w+/=$@#%^&*~-]"  # of a word that may be a secret
_INNER = r"[\w+/=.$!@#%^&*~?-]"
_KEPT = 20_000  # texts

# Looking for secrets is most of the work of a prompt, and most of a notebook stays as it is: where secrets stand in a
# text (by its hash) is remembered for all conversations of this process. Neither texts nor secrets are.
_FOUND: dict[bytes, tuple[Span, ...]] = {}


class RedactionState(msgspec.Struct):
    """What a conversation keeps to give the same secret the same number. Holds no secret: keyed hashes and kinds."""

    salt: bytes = msgspec.field(default_factory=lambda: token_bytes(16))
    numbers: dict[str, int] = msgspec.field(default_factory=dict)
    kinds: list[str] = msgspec.field(default_factory=list)  # of placeholder 1, 2, ...
    lengths: list[int] = msgspec.field(default_factory=list)  # of the secrets, each once: to find them again quickly


class Redactor:
    """Masks texts for one conversation. `environ` is the whole environment; the sensitive names are picked here."""

    def __init__(self, state: RedactionState | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.state = state if state is not None else RedactionState()
        self._values = environment_values(environ or {})
        self._encoded = in_base64(self._values)
        self._key = _hash("\0".join(self._values))

    def mask(self, text: str) -> str:
        """The text with every secret replaced. Masking twice changes nothing more."""
        return self.apply(text, self.spans(text))

    def spans(self, text: str) -> Sequence[Span]:
        """Where the secrets are: sorted, apart from each other."""
        if len(text) < 6:
            return ()
        key = self._key + _hash(text)
        spans = _FOUND.get(key)
        if spans is None:
            if len(_FOUND) >= _KEPT:
                _FOUND.clear()
            spans = _FOUND[key] = tuple(find_secrets(text, self._values, self._encoded))
        for span in spans:
            self.placeholder(text[span.start : span.end], span.kind)
        if not self.state.lengths:
            return spans
        key += self.state.salt + len(self.state.numbers).to_bytes(4, "little")
        seen = _FOUND.get(key)
        if seen is None:
            seen = _FOUND[key] = tuple(self._seen_before(text))
        return merge([*spans, *seen]) if seen else spans

    def _seen_before(self, text: str) -> Iterator[Span]:
        """Words that were a secret elsewhere in this conversation, where a name or a form gave them away: the password
        of one cell in the output of another. Known by their keyed hash, so this works after a restart too."""
        lengths = self.state.lengths
        if any(self._number_of(word) for word in _candidates(text, lengths)):
            for match in _words(tuple(lengths)).finditer(text):
                number = self._number_of(match[0])
                if number is not None:
                    yield Span(match.start(), match.end(), self.state.kinds[number - 1])

    def _number_of(self, word: str) -> int | None:
        """Of a known secret. Plain words and decimal fractions are none: texts are full of them."""
        if word.isalpha() or ("." in word and word.lstrip("-").replace(".", "", 1).isdigit()):
            return None
        return self.state.numbers.get(self._keyed(word))

    def apply(self, text: str, spans: Sequence[Span], start: int = 0, end: int | None = None) -> str:
        """`text[start:end]` with its secrets replaced. A secret that is only partly inside is replaced as a whole."""
        end = len(text) if end is None else end
        if not spans:
            return text[start:end]
        pieces: list[str] = []
        at = start
        for span in spans:
            if span.end <= at or span.start >= end:
                continue
            pieces.append(text[at : max(at, span.start)])
            pieces.append(self.placeholder(text[span.start : span.end], span.kind))
            at = span.end
        pieces.append(text[at:end] if at < end else "")
        return "".join(pieces)

    def placeholder(self, secret: str, kind: str) -> str:
        """«secret:N» for this value."""
        key = self._keyed(secret)
        number = self.state.numbers.get(key)
        if number is None:
            self.state.kinds.append(kind)
            if 8 <= len(secret) <= 100 and len(secret) not in self.state.lengths:
                self.state.lengths.append(len(secret))
            number = self.state.numbers[key] = len(self.state.kinds)
        return f"«secret:{number}»"

    def _keyed(self, secret: str) -> str:
        return blake2b(secret.encode("utf-8", "surrogatepass"), key=self.state.salt, digest_size=16).hexdigest()

    def found(self, texts: Iterable[str]) -> tuple[wire.Masked, ...]:
        """The placeholders in masked texts, by number."""
        counts: dict[int, int] = {}
        for text in texts:
            if "«secret:" in text:
                for match in _PLACEHOLDER.finditer(text):
                    number = int(match[1])
                    if 1 <= number <= len(self.state.kinds):
                        counts[number] = counts.get(number, 0) + 1
        return tuple(
            wire.Masked(placeholder=f"«secret:{n}»", kind=self.state.kinds[n - 1], count=counts[n])
            for n in sorted(counts)
        )

    def count(self, text: str) -> int:
        """How many placeholders a masked text holds."""
        return sum(masked.count for masked in self.found((text,)))

    def digest(self, *pieces: str) -> bytes:
        """A keyed hash of content: two contents with the same digest are the same; nobody can guess content from it."""
        state = blake2b(key=self.state.salt, digest_size=12)
        for piece in pieces:
            data = piece.encode("utf-8", "surrogatepass")
            state.update(len(data).to_bytes(8, "little"))
            state.update(data)
        return state.digest()


_PARTED = {code: " " for code in range(128) if not re.match(_INNER, chr(code))}
_RUN = re.compile(rf"{_INNER}+")


def _candidates(text: str, lengths: Sequence[int]) -> set[str]:
    """All that `_words` could find in the text, each once, and found much faster: nearly every text has none of the
    known secrets, and the expression that finds where they stand tries every position."""
    wanted = frozenset(lengths)
    near = {length + marks for length in wanted for marks in range(4)}
    runs = text.translate(_PARTED).split() if text.isascii() else _RUN.findall(text)
    found: set[str] = set()
    for run in {run for run in runs if len(run) in near}:
        for marks in range(4):
            if len(run) - marks in wanted and not run[len(run) - marks :].strip(".!?"):
                found.add(run[: len(run) - marks])
    return found


@lru_cache(maxsize=64)
def _words(lengths: tuple[int, ...]) -> re.Pattern[str]:
    """Words as long as one of the known secrets; punctuation may follow them."""
    any_length = "|".join(f"{_INNER}{{{length - 1}}}" for length in sorted(lengths))
    return re.compile(rf"(?<!{_INNER})(?={_LETTER})(?:{any_length})(?:{_INNER})(?=[.!?]{{0,3}}(?!{_INNER}))")


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
