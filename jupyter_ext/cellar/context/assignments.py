"""Secrets that a name gives away: name = "literal", NAME=literal, "name": "literal", --name literal, Password=literal;,
Authorization: Bearer literal. A name alone, a call or a template is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cellar.context.spans import Span, entropy, hits, is_template

# (what to look for, what must stand before it, what it is the name of)
_NAMES: tuple[tuple[str, re.Pattern[str] | None, str], ...] = (
    ("passw", None, "password"),
    ("passphrase", None, "password"),
    ("pwd", None, "password"),
    ("비밀번호", None, "password"),
    ("secret", None, "secret"),
    ("credential", None, "secret"),
    ("key", re.compile(r"(?i:api|access|private|auth|account|encryption|signing|master|service)[_-]?$"), "secret"),
    ("token", None, "token"),
)
_BEARER = re.compile(r"(?i:bearer|token)[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,4000})")
_BASIC = re.compile(r"(?i:authorization)[\"']?\s{0,4}[:=,]\s{0,4}[\"']?(?i:basic)[ \t]{1,4}([A-Za-z0-9+/=]{8,1000})")
_SAS = re.compile(r"sig=([A-Za-z0-9%+/]{40,120}={0,2})")
_AFTER_NAME = re.compile(
    r"(?:[_-]?(?i:key|value|prod|production|dev|test|staging|live|hash|\d{1,3})){0,2}"
    r"(?P<closed>\\{0,2}[\"'])?(?P<bracket>\]?)(?P<gap>[ \t]{0,8})"
    r"(?:(?P<typed>:[ \t]{0,4}[A-Za-z_][\w.]{0,40}(?:\[[\w., ]{0,40}\])?(?:[ \t]?\|[ \t]?\w{1,20})?[ \t]{0,4}=(?![=]))"
    r"|(?P<operator>:=|=>|=(?!=)|:(?![:=])|,))"
    r"(?P<space>[ \t]{0,8})"
)
_OPTION = re.compile(r"(?:[_-]?(?i:key|value)){0,1}[ \t]{1,4}")
_STRING = re.compile(r"(?i:[rbuf]{0,2})(?P<quote>\\{0,2}(?:\"\"\"|'''|[\"'`]))")
_BARE = re.compile(r"[^\s\"'`,;&|<>(){}\[\]]{4,512}")
_DOTTED_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_WORDS = frozenset(
    (
        *("password", "passwd", "passphrase", "secret", "token", "string", "str", "none", "null", "true", "false"),
        *("required", "optional", "hidden", "text", "bearer", "basic", "input", "undefined", "int", "bytes", "any"),
        *("bool", "number", "object", "api_key", "apikey", "username", "user", "email", "float", "self", "value"),
        "public",
    )
)
_NOT_AUTH = re.compile(
    r"(?i:max|min|num|n|pad|eos|bos|unk|sep|cls|mask|special|stop|next|last|first|per|page|csrf|per)[_-]?$"
)


def headers_and_assignments(text: str) -> Iterator[Span]:
    lower = text.lower() if "İ" not in text else text.replace("İ", "I").lower()  # the one letter that grows
    for at in hits(lower, "bearer "):
        match = _BEARER.match(text, at)
        if match is not None and any(c.isdigit() for c in match[1]):
            yield Span(match.start(1), match.end(1), "bearer-token")
    for at in hits(lower, "authorization"):
        match = _BASIC.match(text, at)
        if match is not None:
            yield Span(match.start(1), match.end(1), "basic-auth")
    for at in hits(text, "sig=") if "=" in text else ():
        match = _SAS.match(text, at)
        if match is not None:
            yield Span(match.start(1), match.end(1), "azure-signature")
    if not ("=" in text or ":" in text or "," in text or "--" in text):
        return
    for name, before, kind in [row for row in _NAMES if row[0] in lower]:
        done = 0  # a value was judged up to here, with all names inside it
        for at in hits(lower, name):
            if at < done or (at and text[at - 1] == "«"):
                continue
            if before is not None and before.search(text, max(0, at - 12), at) is None:
                continue
            after = at + len(name)
            if name == "passw":
                after = at + (8 if lower.startswith("ord", after) else 6 if lower.startswith("d", after) else 0)
            span, done = _assigned(text, at, after, kind)
            if span is not None:
                yield span


def _assigned(text: str, at: int, after: int, kind: str) -> tuple[Span | None, int]:
    """The value assigned to the name at `at`, if it is a secret; and how far it was looked at."""
    before = text[max(0, at - 24) : at]
    match = _AFTER_NAME.match(text, after)
    if match is None:
        return _option(text, at, after, kind), after
    if kind == "token" and _NOT_AUTH.search(before):
        return None, after
    operator = "=" if match["typed"] else match["operator"]
    if operator == "," and not match["closed"]:
        return None, after
    string = _STRING.match(text, match.end())
    if string is not None:
        start = string.end()
        end = _string_end(text, start, string["quote"])
        value = text[start:end]
        return (Span(start, end, kind), end) if _is_literal_secret(value, kind, operator) else (None, end)
    if operator == "," or match["typed"]:
        return None, after
    bare = _BARE.match(text, match.end())
    if bare is None:
        return None, after
    if text[bare.end() : bare.end() + 1] in ("(", "["):
        return None, bare.end()
    tight = operator == "=" and not match["gap"] and not match["space"]
    if _is_bare_secret(bare[0], kind, operator, tight and _is_setting(text, at, bare.end())):
        return Span(bare.start(), bare.end(), kind), bare.end()
    return None, bare.end()


def _option(text: str, at: int, after: int, kind: str) -> Span | None:
    """`--password hunter2` of a command line."""
    if "--" not in text[max(0, at - 24) : at].rpartition(" ")[2]:
        return None
    gap = _OPTION.match(text, after)
    if gap is None:
        return None
    bare = re.compile(r"[\"']?([^\s\"'`;&|<>(){}\[\]$-][^\s\"'`;&|<>(){}\[\]]{3,512})").match(text, gap.end())
    if bare is None or is_template(bare[1]) or bare[1].lower() in _WORDS:
        return None
    return Span(bare.start(1), bare.end(1), kind)


def _is_setting(text: str, at: int, end: int) -> bool:
    """Is this NAME=value of a .env file, a shell or a connection string (not a keyword argument of a call)?"""
    line = text.rfind("\n", max(0, at - 200), at) + 1
    head = text[max(line, at - 200) : at]
    following = text[end : end + 1]
    if following in ("", "\n", "\r", " ") and (not head.strip() or head.strip().removeprefix("export ").isidentifier()):
        return True
    name = head.rpartition(" ")[2].rpartition(";")[2] + text[at : at + 3]
    return name.isupper() or following == ";" or head.rstrip().endswith((";", "&", "?"))


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


def _is_literal_secret(value: str, kind: str, operator: str) -> bool:
    size = len(value)
    if size < (4 if kind == "password" else 6) or is_template(value) or value.lower() in _WORDS:
        return False
    if value.startswith(("http://", "https://")) and "@" not in value:
        return False
    strong = any(c.isdigit() for c in value) or not (value.islower() or value.isupper())
    if " " in value or "\n" in value:
        return (
            kind == "password" and operator == "=" and value.isascii() and size >= 8 and not value.endswith((":", ": "))
        )
    if operator == "," or kind == "token":
        return size >= 8 and value.isascii() and (strong or size >= 24) and "{" not in value
    return strong or operator != ":" or value.isascii()


def _is_bare_secret(value: str, kind: str, operator: str, setting: bool) -> bool:
    value = value.rstrip(".,:")
    if len(value) < 6 or is_template(value) or value.lower() in _WORDS or not value.isascii():
        return False
    if value.replace(".", "").replace("_", "").isdigit():
        return kind == "password" and (setting or operator == ":")
    if value.startswith(("http://", "https://", "/", "./", "os.", "self.", "\\")):
        return False
    digits = any(c.isdigit() for c in value)
    if _DOTTED_NAME.fullmatch(value):
        if setting:
            return "." not in value or len(value) > 40
        return digits and "." not in value and "_" not in value and len(value) >= 12 and entropy(value) > 3
    return digits or (setting and len(value) >= 8)
