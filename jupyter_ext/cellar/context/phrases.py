"""Secrets that stand without an assignment: in headers, on command lines, in SQL, XML, .netrc and in sentences.

As everywhere, a literal is looked for first; an expression is tried only there, anchored and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cellar.context.spans import WORDS, Span, hits, is_template

_BEARER = re.compile(r"(?i:bearer|token)[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,4000})")
_SAS = re.compile(r"sig=([A-Za-z0-9%+/]{40,120}={0,2})")
_AUTHORIZATION = re.compile(
    r"(?i:authorization)[\"']?\s{0,4}(?:[:,]\s{0,4}[\"']?|=\s{0,4}[\"'])"
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9-]{1,30})[ \t]{1,4})?(?P<value>[A-Za-z0-9._~+/=:-]{8,4000})"
)
_PAIR = re.compile(
    r"(?i:auth)[\"']?\s{0,4}[:=]?\s{0,4}\(\s{0,8}(?P<one>[\"'])[^\"'\n]{0,128}(?P=one)\s{0,8},\s{0,8}"
    r"(?P<two>[\"'])(?P<value>[^\"'\n]{3,256})(?P=two)"
)
_DOCKER = re.compile(r"(?i:auth)[\"'][ \t]{0,4}:\s{0,4}[\"'](?P<value>[A-Za-z0-9+/]{8,1000}={0,2})[\"']")
_COOKIE = re.compile(
    r"(?i:cookie)(?:[\"'][ \t]{0,4}[:=,]|[ \t]{0,4}[:=])[ \t]{0,4}[\"']?[\w.-]{1,64}=(?P<value>[^\"'\r\n]{6,4000})"
)
_IDENTIFIED = re.compile(
    r"(?i:identified)\s{1,8}(?:(?i:with)\s{1,8}[\"'`]?\w{1,64}[\"'`]?\s{1,8})?(?i:by)\s{1,8}(?:(?i:password)\s{1,8})?"
    r"(?P<quote>[\"'])(?P<value>[^\"'\n]{3,256})(?P=quote)"
)
_WORD = r"[\"']?([^\s\"'`;&|<>(){}\[\]$][^\s\"'`;&|<>]{2,255})"
_COMMANDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("curl", re.compile(rf"\s(?:-u|--(?:proxy-)?user)[ =]?[\"']?[^\s:\"']{{1,128}}:{_WORD}")),
    ("mysql", re.compile(rf"\s-p(?!ort|rotocol){_WORD}")),
    ("mariadb", re.compile(rf"\s-p(?!ort|rotocol){_WORD}")),
)
_SSHPASS = re.compile(rf"[ \t]{{1,4}}-p[ ]?{_WORD}")
_LONGEST_LINE = 2_000  # of a command

_OPTION = re.compile(
    r"(?:[_-]?(?i:key|value)){0,1}[ \t]{1,4}[\"']?([^\s\"'`;&|<>(){}\[\]$-][^\s\"'`;&|<>(){}\[\]]{3,512})"
)
_ELEMENT = re.compile(r"[\w.:-]{0,40}>([^<>\n]{3,512})</")
_NETRC = re.compile(r"(?i:login)\s{1,8}\S{1,128}\s{1,8}$")
_QUOTED = re.compile(r"\s{1,4}([\"'])([^\"'\n]{4,256})\1")
_IS = re.compile(r"[ \t]{1,4}(?i:is|was)[ \t]{1,4}[\"'“‘`]?([!-~]{5,128})")
_KOREAN = re.compile(
    r"(?:는|은|이|가|를|을)?[ \t]{0,4}[\"'“‘`]?([!-&(-_a-~]{4,128})"
    r"[\"'”’`]?[ \t]{0,4}(입니다|이에요|예요|이야|야|임|이고|로|으로)?"
)
_NO_SECRET = re.compile(r"(?i:sha|md|aes|rsa|argon|scrypt|bcrypt|pbkdf|base|utf|http)-?\d|[\w.-]{1,100}[/(\[]")


def said(text: str, lower: str) -> Iterator[Span]:
    """`lower` is the text in small letters, position by position."""
    for at in hits(lower, "bearer ") if "b" in lower else ():
        match = _BEARER.match(text, at)
        if match is not None and _has_digit(match[1]):
            yield Span(match.start(1), match.end(1), "bearer-token")
    for at in hits(text, "sig=") if "=" in text and "g" in text else ():
        match = _SAS.match(text, at)
        if match is not None:
            yield Span(match.start(1), match.end(1), "azure-signature")
    if "u" in lower and (":" in text or "(" in text or "," in text or "=" in text):
        for at in hits(lower, "auth"):
            yield from _authorised(text, lower, at)
    if "k" in lower and "=" in text:
        done = 0
        for at in hits(lower, "cookie"):
            match = _COOKIE.match(text, at) if at >= done else None
            done = match.end() if match is not None else done
            if match is not None and _has_digit(match["value"]) and not is_template(match["value"]):
                end = text.find(";", match.start("value"), match.end()) if lower.startswith("set-", at - 4) else -1
                yield Span(match.start("value"), end if end > 0 else match.end("value"), "cookie")
    if "f" in lower and ("'" in text or '"' in text):
        for at in hits(lower, "identified"):
            match = _IDENTIFIED.match(text, at)
            sql = text.startswith("IDENTIFIED", at) or "user" in lower[max(0, at - 200) : at]
            if match is not None and sql and not is_template(match["value"]):
                yield Span(match.start("value"), match.end("value"), "password")
    yield from _on_command_lines(text, lower)


def _authorised(text: str, lower: str, at: int) -> Iterator[Span]:
    """`Authorization: SCHEME value`, auth=("user", "password"), HTTPBasicAuth("user", "password"), Docker's "auth"."""
    following = lower[at + 4 : at + 5]
    if following == "o":
        match = _AUTHORIZATION.match(text, at)
        if match is None or is_template(match["value"]):
            return
        scheme, value = (match["scheme"] or "").lower(), match["value"]
        if scheme == "basic" or (_has_digit(value) and (scheme or len(value) >= 16)):
            kind = {"basic": "basic-auth", "bearer": "bearer-token"}.get(scheme, "token")
            yield Span(match.start("value"), match.end("value"), kind)
    elif following and following in "=( :\"'":
        if following in "\"'" and text[at - 1 : at] != following:
            return  # 'OAuth': no name that is "auth"
        match = _PAIR.match(text, at)
        if match is not None:
            if not is_template(match["value"]):
                yield Span(match.start("value"), match.end("value"), "password")
            return
        match = _DOCKER.match(text, at)
        if match is not None and (_has_digit(match["value"]) or not match["value"].islower()):
            yield Span(match.start("value"), match.end("value"), "basic-auth")


def _on_command_lines(text: str, lower: str) -> Iterator[Span]:
    """`curl -u user:password`, `mysql -ppassword`."""
    if "-" not in text or ("r" not in lower and "q" not in lower):
        return
    for program, pattern in _COMMANDS:
        done = 0
        for at in hits(lower, program):
            if at < done:
                continue
            newline = text.find("\n", at, at + _LONGEST_LINE)
            done = newline if newline >= 0 else min(len(text), at + _LONGEST_LINE)
            if text.find(" -", at, done) < 0:
                continue
            for match in pattern.finditer(text, at, done):
                if not is_template(match[1]):
                    yield Span(match.start(1), match.end(1), "password")


def unassigned(text: str, at: int, after: int, kind: str) -> Span | None:
    """The secret behind the name at `at` when no operator follows it."""
    following = text[after : after + 1]
    if following == ">" or following == "_":
        return _element(text, at, after, kind)
    if text[at] >= "가":
        return _in_korean(text, after, kind)
    if following not in (" ", "\t", "\n", "_", "-", "="):
        return None
    option = _option(text, at, after, kind)
    if option is not None or kind != "password":
        return option
    if text.startswith("sshpass", at - 3):
        match = _SSHPASS.match(text, after)
        return Span(match.start(1), match.end(1), kind) if match is not None and not is_template(match[1]) else None
    return _behind(text, at, after, kind) if after - at > 4 else None  # not behind the verb "pass"


def _option(text: str, at: int, after: int, kind: str) -> Span | None:
    """`--password hunter2` of a command line."""
    if "--" not in text[max(0, at - 24) : at].rpartition(" ")[2]:
        return None
    match = _OPTION.match(text, after)
    if match is None or is_template(match[1]) or match[1].lower() in WORDS:
        return None
    return Span(match.start(1), match.end(1), kind)


def _element(text: str, at: int, after: int, kind: str) -> Span | None:
    """`<db:password>hunter2</db:password>`."""
    opening = text.rfind("<", max(0, at - 40), at)
    if opening < 0 or any(c in "> /\"'\n" for c in text[opening:at]):
        return None
    match = _ELEMENT.match(text, after)
    if match is None or is_template(match[1].strip()) or (kind != "password" and not _has_digit(match[1])):
        return None
    return Span(match.start(1), match.end(1), kind)


def _behind(text: str, at: int, after: int, kind: str) -> Span | None:
    """`login bob password hunter2`, `WITH PASSWORD 'hunter2'`, "the password is hunter2"."""
    quoted = _QUOTED.match(text, after)
    if quoted is not None:
        sql = text[at:after].isupper()
        secret = not is_template(quoted[2]) and (sql or (_has_digit(quoted[2]) and " " not in quoted[2]))
        return Span(quoted.start(2), quoted.end(2), kind) if secret else None
    match = _IS.match(text, after)
    if match is not None:
        value = match[1].rstrip(".,;:!?)\"'`")
        if _has_digit(value) and any(c.isalpha() for c in value) and not _NO_SECRET.match(value):
            return Span(match.start(1), match.start(1) + len(value), kind) if not is_template(value) else None
    if _NETRC.search(text, max(0, at - 200), at) is not None:
        word = re.compile(r"\s{1,8}([^\s\"'<>]{3,256})").match(text, after)
        if word is not None and not is_template(word[1]):
            return Span(word.start(1), word.end(1), kind)
    return None


def _in_korean(text: str, after: int, kind: str) -> Span | None:
    """`비밀번호는 hunter2 입니다`."""
    match = _KOREAN.match(text, after)
    if match is None:
        return None
    value = match[1].rstrip(".,;:!?)")
    if len(value) < 4 or is_template(value) or _NO_SECRET.match(value) or value.lower() in ("none", "null", "true"):
        return None
    copula = match[2] is not None and match[2] not in ("로", "으로")
    mixed = _has_digit(value) and any(c.isalpha() for c in value) and not any(c in value for c in "./:()")
    if not mixed and not (copula and not (value.isalpha() and value.isupper())):
        return None
    return Span(match.start(1), match.start(1) + len(value), kind)


def _has_digit(value: str) -> bool:
    return any(c.isdigit() for c in value)
