"""Secrets that a name gives away: name = "literal", NAME=literal, "name": "literal", name: literal (YAML), a list of
them, --name literal, Password=literal;, <name>literal</name>. A name alone, a type, a call or a template is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cellar.context.phrases import said, unassigned
from cellar.context.spans import WORDS, Span, entropy, hits, is_template

# (what to look for, a character without which it cannot be there and which is looked for first, what must stand before
# it, what it is the name of). "pass" and "pw" are judged by `_end_of_password`.
_NAMES: tuple[tuple[str, str, re.Pattern[str] | None, str], ...] = (
    ("pass", "p", None, "password"),
    ("pw", "p", None, "password"),
    ("비밀번호", "비", None, "password"),
    ("암호", "암", None, "password"),
    ("secret", "s", None, "secret"),
    ("credential", "d", None, "secret"),
    (
        "key",
        "k",
        re.compile(r"(?i:api|access|private|auth|account|encryption|signing|master|service)[_-]?$"),
        "secret",
    ),
    ("token", "k", None, "token"),
)
_AFTER_NAME = re.compile(
    r"[sS]?(?:[_-]?(?i:key|value|prod|production|dev|test|staging|live|hash|\d{1,3})){0,2}"
    r"(?P<closed>\\{0,2}[\"'])?(?P<bracket>\]?)(?P<gap>[ \t]{0,8})"
    r"(?:(?P<typed>:[ \t]{0,4}[A-Za-z_][\w.]{0,40}(?:\[[\w., ]{0,40}\])?(?:[ \t]?\|[ \t]?\w{1,20})?[ \t]{0,4}=(?![=]))"
    r"|(?P<operator>:=|=>|=(?!=)|:(?![:=])|,))"
    r"(?P<space>[ \t]{0,8})"
)
_NOT_A_PASSWORD = re.compile(  # words before "pass" that make it a round, a filter, an outcome
    r"(?i:low|high|band|first|second|third|one|two|single|double|multi|each|per|next|last|final|prev|previous|forward"
    r"|backward|front|back|up|down|render|compiler|opt|boarding|season|by|all|any|is|did|does|do|test|tests|should|must"
    r"|can|will|to|a|the|num|n|no|max|min|pre|post|re|if|or|and|not)[_ -]?$"
)
_COMPOUND = re.compile(r"(?i:db|user|my|smtp|mail|root|admin|ftp|ssh|sql|redis|http|proxy|login|net)$")
_STRING = re.compile(r"(?i:[rbuf]{0,2})(?P<quote>\\{0,2}(?:\"\"\"|'''|[\"'`]))")
_BARE = re.compile(r"[^\s\"'`,;&|<>(){}\[\]]{4,512}")
_LINE = re.compile(r"[^\s\"'`]{6,512}+(?=[ \t]{0,80}(?:#[^\n]{0,200})?(?:[\r\n]|\Z))")
_NEXT_ITEM = re.compile(r"\s{0,80},\s{0,80}")
_PAIR_AFTER = re.compile(r"[ \t]{1,4}[\w.]{1,64}=[^\s=]")
_OF_A_NAME = "_-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_DOTTED_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_WORD_OF_CODE = re.compile(r"_*[A-Za-z]?[a-z_]*(?:[A-Z][a-z]+)*_?\d{0,2}")  # camelCase2, snake_case_2
_CODE = re.compile(r"[*&|>.\\]|[\w.]{1,80}[(\[{]|[^\s(]{1,80}\)")
_QUANTITY = re.compile(r"[\d.,:/%_+-]+(?:e[+-]?\d+|[A-Za-z%]{0,3})")  # 12.5ms, 120/120, 2024-01-02
_TYPE = re.compile(
    r"(?i:u?int|float|complex|str|bytes|bool|utf|base|md|sha|argon|scrypt|bcrypt|pbkdf|aes|rsa|hs|rs|es)-?\d{1,4}\w{0,24}"
)
_CLASS = re.compile(r"(?:[A-Z][a-z]{2,}\d{0,2}|[A-Z]{2,5}\d?)+")
_PATH = re.compile(r"[/~]|[A-Za-z]:[\\/]")
_NOT_AUTH = re.compile(
    r"(?i:max|min|num|n|pad|eos|bos|unk|sep|cls|mask|special|stop|next|last|first|per|page|csrf|per)[_-]?$"
)


def headers_and_assignments(text: str) -> Iterator[Span]:
    lower = text.lower() if "İ" not in text else text.replace("İ", "I").lower()  # the one letter that grows
    yield from said(text, lower)
    for name, sign, before, kind in _NAMES:
        if sign not in lower:  # most output is numbers
            continue
        done = 0  # a value was judged up to here, with all names inside it
        for at in hits(lower, name):
            if at < done or (at and text[at - 1] == "«"):
                continue
            if before is not None and before.search(text, max(0, at - 12), at) is None:
                continue
            after = at + len(name)
            if name == "pass" or name == "pw":
                after = _end_of_password(text, lower, at, after)
                if after < 0:
                    continue
            spans, done = _assigned(text, at, after, kind)
            yield from spans


def _end_of_password(text: str, lower: str, at: int, after: int) -> int:
    """Where the name ends that has "pass" or "pw" at `at`; -1 when it names no password: `pass`, bypass, compass."""
    first = lower[after : after + 1]
    if first == "w":
        if lower.startswith("ord", after + 1):
            return after + 4
        return after + 2 if lower.startswith("d", after + 1) else -1
    if first == "d" and lower[after - 1] == "w":  # pwd
        return after + 1
    if first in "pc" and first and lower[after - 1] == "s":
        if lower.startswith("phrase", after):
            return after + 6
        return after + 4 if lower.startswith("code", after) else -1
    if first.isalpha() or not first or first in "\r\n":
        return -1
    previous = text[at - 1 : at]
    if previous.isdigit() or previous in ("%", "."):
        return -1
    if previous.isalpha() and not (text[at].isupper() and previous.islower()):
        return after if _COMPOUND.search(text, max(0, at - 8), at) else -1
    return -1 if _NOT_A_PASSWORD.search(text, max(0, at - 12), at) else after


def _assigned(text: str, at: int, after: int, kind: str) -> tuple[list[Span], int]:
    """What is assigned to the name at `at`, as far as it is secret; and how far it was looked at."""
    match = _AFTER_NAME.match(text, after)
    if match is None:
        span = unassigned(text, at, after, kind)
        return ([span], span.end) if span is not None else ([], after)
    if kind == "token" and (text[after] in "sS" or _NOT_AUTH.search(text[max(0, at - 24) : at])):
        return [], after
    operator = "=" if match["typed"] else match["operator"]
    listed = text[match.end() : match.end() + 1] in ("[", "(")
    if (operator == "," and not match["closed"]) or (text[after] in "sS" and not listed):
        return [], after
    name = text[at:after].lower()
    string = _STRING.match(text, match.end())
    if string is not None:
        start = string.end()
        end = _string_end(text, start, string["quote"])
        secret = _is_literal_secret(text[start:end], kind, operator, name)
        return ([Span(start, end, kind)] if secret else []), end
    if operator == "," or match["typed"]:
        return [], after
    if listed:
        return _listed(text, match.end() + 1, kind, name) if kind != "token" else ([], after)
    tight = operator == "=" and not match["gap"] and not match["space"]
    bare = _BARE.match(text, match.end())
    if operator == ":" or (operator == "=" and not tight and kind == "password"):
        line = _LINE.match(text, match.end())
        if line is not None and _is_line_secret(line[0], kind, operator, name):
            return [Span(line.start(), line.end(), kind)], line.end()
    if bare is None:
        return [], after
    if text[bare.end() : bare.end() + 1] in ("(", "["):
        return [], bare.end()
    setting = tight and _is_setting(text, at, bare.end())
    if _is_bare_secret(bare[0], kind, operator, setting, name):
        return [Span(bare.start(), bare.end(), kind)], bare.end()
    return [], bare.end()


def _listed(text: str, at: int, kind: str, name: str) -> tuple[list[Span], int]:
    """The secrets of `["one", "two"]`, from behind its bracket."""
    spans: list[Span] = []
    for _ in range(64):
        string = _STRING.match(text, at)
        if string is None:
            break
        start = string.end()
        at = _string_end(text, start, string["quote"])
        value = text[start:at]
        if (
            _is_literal_secret(value, kind, "=", name)
            and " " not in value
            and (any(c.isdigit() for c in value) or (kind == "password" and _mixed_case(value)))
        ):
            spans.append(Span(start, at, kind))
        separator = _NEXT_ITEM.match(text, at + len(string["quote"]))
        if separator is None:
            break
        at = separator.end()
    return spans, at


def _mixed_case(value: str) -> bool:
    return not (value.islower() or value.isupper() or value.istitle())


def _is_setting(text: str, at: int, end: int) -> bool:
    """Is this NAME=value of a .env file, a shell or a connection string (not a keyword argument of a call)?"""
    line = text.rfind("\n", max(0, at - 200), at) + 1
    head = text[max(line, at - 200) : at]
    following = text[end : end + 1]
    if following in ("", "\n", "\r", " ") and (not head.strip() or head.strip().removeprefix("export ").isidentifier()):
        return True
    name = head.rpartition(" ")[2].rpartition(";")[2] + text[at : at + 3]
    if name.isupper() or following == ";" or head.rstrip().endswith((";", "&", "?")):
        return True
    if following not in ("", "\n", "\r", " ", '"', "'"):
        return False
    start = head.rstrip(_OF_A_NAME)
    pair = start.rstrip().rpartition(" ")[2]
    return (
        start.endswith(('"', "'"))
        or (start.endswith(" ") and pair[:1].isalpha() and "=" in pair and pair[-1] not in "=,;(")
        or _PAIR_AFTER.match(text, end) is not None
    )


def _string_end(text: str, start: int, quote: str) -> int:
    """Where the string ends: at its closing quote, or where its line does (a string that was cut)."""
    limit = min(len(text), start + 1024)
    if len(quote) < 3 or quote[0] == "\\":
        newline = text.find("\n", start, limit)
        limit = newline if newline >= 0 else limit
    at = text.find(quote, start, limit)
    while at > start and quote[0] != "\\" and text[at - 1] == "\\" and text[at - 2 : at - 1] != "\\":
        at = text.find(quote, at + 1, limit)
    return at if at >= 0 else limit


def _is_literal_secret(value: str, kind: str, operator: str, name: str) -> bool:
    size = len(value)
    if size < (4 if kind == "password" else 6) or is_template(value) or value.lower() in WORDS:
        return False
    if value.startswith(("http://", "https://")) and "@" not in value:
        return False
    strong = any(c.isdigit() for c in value) or not (value.islower() or value.isupper())
    if name in ("pass", "pw", "pwd") and (_PATH.match(value) or (_QUANTITY.fullmatch(value) and not value.isdigit())):
        return False  # PWD is a folder
    if name == "pass" and (operator == "," or (operator == ":" and (size < 6 or not strong))):
        return False  # {"pass": "green"}
    if " " in value or "\n" in value:
        return (
            kind == "password" and operator == "=" and value.isascii() and size >= 8 and not value.endswith((":", ": "))
        )
    if operator == "," or kind == "token":
        return size >= 8 and value.isascii() and (strong or size >= 24) and "{" not in value
    return strong or operator != ":" or value.isascii()


def _is_line_secret(value: str, kind: str, operator: str, name: str) -> bool:
    """Is `value`, the rest of its line, the secret of `password: value` or `password = value` in YAML or an .ini file,
    and no type, name or call of a program?"""
    value = value.rstrip(".,:;")
    if len(value) < (6 if kind == "password" else 8) or is_template(value) or not value.isascii():
        return False
    if value.lower() in WORDS or _PATH.match(value) or _CODE.match(value) or _TYPE.fullmatch(value):
        return False
    if value.startswith(("http://", "https://", "./", "os.", "self.")) or (
        "." in value and _DOTTED_NAME.fullmatch(value)
    ):
        return False
    if not any(c.isdigit() for c in value) or not any(c.isalpha() for c in value):
        return False
    if name in ("pass", "pw") and _QUANTITY.fullmatch(value):
        return False
    if operator == "=":  # a name of a program can stand here
        return "_" not in value and not _WORD_OF_CODE.fullmatch(value)
    return kind == "password" or not _CLASS.fullmatch(value)


def _is_bare_secret(value: str, kind: str, operator: str, setting: bool, name: str) -> bool:
    value = value.rstrip(".,:")
    if len(value) < 6 or is_template(value) or value.lower() in WORDS or not value.isascii():
        return False
    if value.replace(".", "").replace("_", "").isdigit():
        return kind == "password" and (setting or operator == ":") and value.isdigit()
    if value.startswith(("http://", "https://", "/", "./", "os.", "self.", "\\")) or (
        name in ("pass", "pw", "pwd") and (_PATH.match(value) or _QUANTITY.fullmatch(value))
    ):
        return False
    digits = any(c.isdigit() for c in value)
    if _DOTTED_NAME.fullmatch(value):
        if setting:
            return "." not in value or len(value) > 40
        if not digits or "." in value or "_" in value or _TYPE.fullmatch(value):
            return False
        if len(value) >= 12 and entropy(value) > 3:
            return True
        return kind == "password" and len(value) >= 8 and not _WORD_OF_CODE.fullmatch(value)
    return digits or (setting and len(value) >= 8)
