"""Text of the workspace made fit for a prompt: secrets masked, then cut, then made harmless.

The order matters. Escape sequences go first, because they can stand in the middle of a secret. Secrets are masked
before anything is cut, so that no half of one is left at a cut; a cut looks `_LOOK` characters further than it keeps,
which is longer than any secret that the redactor knows, so a text of 10 MB costs as much as what is kept of it. Made
harmless at the end: our own tags and the chat template's tokens cannot be forged, bidi marks become visible.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cellar.context.redaction import Redactor

_LOOK = 16_384  # characters; an RSA key of 8192 bits as PEM has 6,400

_ANSI = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,16}[@-~]|\](?:[^\x07\x1b]{0,4096}(?:\x07|\x1b\\))?"
    r"|[PX^_](?:[^\x1b]{0,4096}\x1b\\)?|[ -/]{0,4}[0-~])?"
)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_FORGED = re.compile(
    r"<(?=\s{0,4}/?\s{0,4}ctx\s{0,2}-|\|[\w ]{1,40}\|>|｜[^>\n]{1,60}｜>|/?s>|(?:start|end)_of_turn>"
    r"|(?:bos|eos|pad|unk)>|fim_\w{1,12}>|/?think>|/?tool_call>|<SYS>>|</SYS>>)",
    re.IGNORECASE,
)
_FORGED_BRACKETS = re.compile(r"\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])")


class Cut(NamedTuple):
    text: str
    left_out: int  # characters


def strip_ansi(text: str) -> str:
    """Without terminal escapes, and with only the last state of a line that a progress bar wrote again and again."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\r" in text:
        lines = text.replace("\r\n", "\n").split("\n")
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line for line in lines)
    return text


def harmless(text: str) -> str:
    """Without controls, invisible and direction marks, and without anything that reads as one of our tags or as a token
    of a chat template."""
    if _CONTROLS.search(text) is not None:
        text = _CONTROLS.sub(_show_control, text)
    if "<" in text:
        text = _FORGED.sub("‹", text)
    if "[" in text:
        text = _FORGED_BRACKETS.sub("[ ", text)
    return text


def _show_control(match: re.Match[str]) -> str:
    character = match[0]
    if character in "\u2028\u2029\x85\x0b\x0c\r":
        return "\n"
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069" or character in "\u200e\u200f\u061c":
        return f"[U+{ord(character):04X}]"
    return "\ufffd" if "\ud800" <= character <= "\udfff" else ""


def attribute(text: str) -> str:
    """A path or a name on one line between quotes."""
    return (
        harmless(text[:512]).replace("\n", " ").replace("\t", " ").replace('"', "'").replace("<", "‹").replace(">", "›")
    )


def note(left_out: int) -> str:
    return f"[... {left_out:,} characters left out ...]"


def clean(text: str, redactor: Redactor) -> str:
    """The whole text, masked and harmless."""
    return harmless(redactor.mask(strip_ansi(text)))


def clean_cut(text: str, limit: int, redactor: Redactor, *, head: float = 0.67) -> Cut:
    """At most about `limit` characters of the text: its head and its tail (`head` is the share of the head)."""
    if len(text) <= limit + 80:  # a note is not shorter than what it stands for
        return Cut(clean(text, redactor), 0)
    if limit <= 0:
        return Cut(note(len(text)), len(text))
    if len(text) <= 2 * limit + 4 * _LOOK:
        return _cut_masked(redactor.mask(strip_ansi(text)), limit, head)
    return _cut_windows(text, limit, redactor, head)


def _cut_masked(text: str, limit: int, share: float) -> Cut:
    """A text of moderate size is masked whole (and remembered so), then cut wherever it must be."""
    if len(text) <= limit + 80:
        return Cut(harmless(text), 0)
    before = int(limit * share)
    line = text.rfind("\n", before - before // 4, before)
    before = line if line > 0 else before
    after = len(text) - (limit - int(limit * share))
    line = text.find("\n", after, after + (len(text) - after) // 4)
    after = line + 1 if line >= 0 else after
    mark = text.rfind("«", max(0, before - 12), before)
    if mark >= 0 and "»" not in text[mark:before]:
        before = mark  # no half placeholder
    left_out = after - before
    return Cut(harmless(_around(text[:before], left_out, text[after:])), left_out)


_BROKEN = 512  # characters given up at each inner edge of a cut, at most
_GAPS = tuple(re.compile(gap) for gap in (r"\n", r"[,;]\s", r"\s", r"[\"',;&<>()\[\]{}]"))  # the best first


def raw_edges(text: str, head: int, tail: int) -> tuple[int, int]:
    """For a cut that cannot wait until the secrets are masked (masking needs the whole conversation): where the head of
    at most `head` characters ends and the tail of at most `tail` begins. At the end of a line, else between two words:
    half a secret looks like none and would leave."""
    return _edge_before(text, head), _edge_behind(text, len(text) - tail)


def _edge_before(text: str, near: int) -> int:
    for gap in _GAPS:
        places = [match.start() for match in gap.finditer(text, max(0, near - _BROKEN), near + 2)]
        places = [place for place in places if place <= near]
        if places:
            return places[-1]
    return near


def _edge_behind(text: str, near: int) -> int:
    for gap in _GAPS:
        for match in gap.finditer(text, max(0, near - 2), near + _BROKEN):
            if match.end() >= near:
                return match.end()
    return near


def _around(head: str, left_out: int, tail: str) -> str:
    pieces = (head.rstrip("\n"), note(left_out), tail.lstrip("\n"))
    return "\n".join(piece for piece in pieces if piece)


def _cut_windows(text: str, limit: int, redactor: Redactor, share: float) -> Cut:
    """Of a huge text only two windows are read. The inner end of each is only looked at: a secret that begins in what
    is kept may go on there."""
    before = int(limit * share)
    window = strip_ansi(text[: 2 * before + _LOOK])
    size = min(before, max(len(window) - _LOOK, len(window) // 2))
    line = window.rfind("\n", size - size // 4, size)
    head_size = line if line > 0 else size
    head = redactor.apply(window, redactor.spans(window), 0, head_size)
    window = strip_ansi(text[-(2 * (limit - before) + _LOOK) :])
    size = min(limit - before, max(len(window) - _LOOK, len(window) // 2))
    line = window.find("\n", len(window) - size, len(window) - size + size // 4)
    start = line + 1 if line >= 0 else len(window) - size
    tail = redactor.apply(window, redactor.spans(window), start)
    left_out = len(text) - head_size - (len(window) - start)
    return Cut(harmless(_around(head, left_out, tail)), left_out)


# ---------------------------------------------------------------------------------------------------------------------
# Tracebacks

_FRAME = re.compile(
    r"^(?=(?:Cell |Input |File |  File \"|~/|/|<ipython-input)[^\n]{0,400}(?:line \d|:\d|in ))", re.MULTILINE
)
_LIBRARY = re.compile(r"site-packages|dist-packages|/lib/python3|<frozen |importlib")
LONG_TRACEBACK = 4_000  # characters


def clean_traceback(text: str, limit: int, redactor: Redactor) -> Cut:
    """A traceback: when it is long, without the frames inside libraries, except the last two; then head and tail."""
    if len(text) <= LONG_TRACEBACK or len(text) > 2_000_000:
        return clean_cut(text, limit, redactor, head=0.33)
    plain = strip_ansi(text)
    frames = _FRAME.split(plain)
    if len(frames) < 5:
        return clean_cut(plain, limit, redactor, head=0.33)
    kept: list[str] = [frames[0]]
    gone = lost = 0
    for number, frame in enumerate(frames[1:], start=1):
        if _LIBRARY.search(frame[:400]) and number < len(frames) - 2:
            gone, lost = gone + 1, lost + len(frame)
            continue
        if gone:
            kept.append(f"[... {gone} frames inside libraries left out ...]\n")
            gone = 0
        kept.append(frame)
    cut = clean_cut("".join(kept), limit, redactor, head=0.33)
    return Cut(cut.text, cut.left_out + lost)
