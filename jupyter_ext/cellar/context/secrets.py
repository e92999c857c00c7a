"""What a secret looks like: texts in, spans out.

Work is linear in the text's length, whatever it holds. Every rule has a literal trigger that `str.find` looks for (a few
hundred MB/s); only at a hit a regular expression is tried, anchored there and with bounded quantifiers. No rule scans
from every position. Names are not secrets (`token = get_token()`, `os.environ["X"]`, `${PASSWORD}`), literals are,
placeholders like "changeme" included: nobody can tell them from a real one.

Sources of the formats: the vendors' documents and the rules of gitleaks and GitHub secret scanning.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, unquote


class Span(NamedTuple):
    start: int
    end: int
    kind: str


def find_secrets(text: str, values: Sequence[str] = ()) -> list[Span]:
    """Spans of secrets in `text`: sorted, apart from each other. `values` are exact secrets (`environment_values`)."""
    spans = [*_private_keys(text), *_tokens(text), *_url_passwords(text), *_headers_and_assignments(text)]
    for value in values:
        spans.extend(_exact(text, value))
    return _merge(spans)


def _merge(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if merged and span.start < merged[-1].end:
            if span.end > merged[-1].end:
                merged[-1] = Span(merged[-1].start, span.end, merged[-1].kind)
        else:
            merged.append(span)
    return merged


def _hits(text: str, literal: str) -> Iterator[int]:
    at = text.find(literal)
    while at >= 0:
        yield at
        at = text.find(literal, at + len(literal))


# ---------------------------------------------------------------------------------------------------------------------
# Tokens that say themselves what they are: (trigger, kind, the whole token from the trigger on)


def _mixed(value: str) -> bool:
    return any(c.isdigit() for c in value) and (any(c.isupper() for c in value) or len(value) >= 40)


_TOKENS: tuple[tuple[str, str, re.Pattern[str], Callable[[str], bool] | None], ...] = tuple(
    (trigger, kind, re.compile(pattern), check)
    for trigger, kind, pattern, check in (
        ("AKIA", "aws-key", r"AKIA[0-9A-Z]{16}(?![0-9A-Za-z])", None),
        ("ASIA", "aws-key", r"ASIA[0-9A-Z]{16}(?![0-9A-Za-z])", None),
        ("ghp_", "github-token", r"ghp_[A-Za-z0-9]{20,255}", None),
        ("gho_", "github-token", r"gho_[A-Za-z0-9]{20,255}", None),
        ("ghu_", "github-token", r"ghu_[A-Za-z0-9]{20,255}", None),
        ("ghs_", "github-token", r"ghs_[A-Za-z0-9]{20,255}", None),
        ("ghr_", "github-token", r"ghr_[A-Za-z0-9]{20,255}", None),
        ("github_pat_", "github-token", r"github_pat_[A-Za-z0-9_]{20,255}", None),
        ("glpat-", "gitlab-token", r"gl(?:pat|dt|rt|ptt)-[\w-]{16,300}", None),
        ("gldt-", "gitlab-token", r"gldt-[\w-]{16,300}", None),
        ("glrt-", "gitlab-token", r"glrt-[\w-]{16,300}", None),
        ("xox", "slack-token", r"xox[abeoprs]-[\w-]{10,300}", None),
        ("xapp-", "slack-token", r"xapp-[\w-]{20,300}", None),
        ("hooks.slack.com/services/", "slack-webhook", r"hooks\.slack\.com/services/[\w/]{20,200}", None),
        ("AIza", "google-key", r"AIza[\w-]{35}(?![\w-])", None),
        ("ya29.", "google-token", r"ya29\.[\w.-]{20,500}", None),
        ("GOCSPX-", "google-secret", r"GOCSPX-[\w-]{20,60}", None),
        ("sk-", "api-key", r"sk-[\w-]{20,300}", _mixed),
        ("sk_", "stripe-key", r"sk_(?:live|test)_[A-Za-z0-9]{16,255}", None),
        ("rk_", "stripe-key", r"rk_(?:live|test)_[A-Za-z0-9]{16,255}", None),
        ("whsec_", "stripe-key", r"whsec_[A-Za-z0-9+/=]{20,255}", None),
        ("hf_", "huggingface-token", r"hf_[A-Za-z0-9]{30,64}(?![A-Za-z0-9])", None),
        ("npm_", "npm-token", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])", None),
        ("pypi-", "pypi-token", r"pypi-[\w-]{50,1000}", None),
        ("SG.", "sendgrid-key", r"SG\.[\w-]{16,32}\.[\w-]{16,64}", None),
        ("dapi", "databricks-token", r"dapi[0-9a-f]{32}(?:-\d)?(?![0-9a-f])", None),
        ("dop_v1_", "digitalocean-token", r"dop_v1_[0-9a-f]{64}", None),
        ("hvs.", "vault-token", r"hvs\.[\w-]{24,300}", None),
        ("nvapi-", "nvidia-key", r"nvapi-[\w-]{40,200}", None),
        ("gsk_", "api-key", r"gsk_[A-Za-z0-9]{40,100}", None),
        ("shpat_", "shopify-token", r"shpat_[0-9a-fA-F]{32}", None),
        ("eyJ", "jwt", r"eyJ[\w-]{8,4000}\.eyJ[\w-]{8,8000}(?:\.[\w-]{0,4000})?", None),
    )
)
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_AZURE_CLIENT = re.compile(r"[\w~.-]{3}8Q~[\w~.-]{31,34}(?![\w~.-])")


def _tokens(text: str) -> Iterator[Span]:
    gates = {character: character in text for character in "_-.A"}  # no token without one of these
    for trigger, kind, pattern, check in _TOKENS:
        done = 0
        if not gates.get(_gate(trigger), True):
            continue
        for at in _hits(text, trigger):
            if at < done or (at and _in_word(text[at - 1])):
                continue
            match = pattern.match(text, at)
            if match is None or (check is not None and not check(match[0])):
                continue
            done = match.end()
            yield Span(at, done, kind)
            if kind == "aws-key":  # its secret half often stands beside it, without a name
                for secret in _AWS_SECRET.finditer(text, done, min(len(text), done + 200)):
                    if entropy(secret[0]) > 4:
                        yield Span(secret.start(), secret.end(), "aws-secret")
    for at in _hits(text, "8Q~") if "~" in text else ():
        match = _AZURE_CLIENT.match(text, max(0, at - 3))
        if match is not None:
            yield Span(match.start(), match.end(), "azure-secret")


@cache
def _gate(trigger: str) -> str:
    """The character of a token's trigger that most texts of numbers do not have."""
    return next((character for character in "_-.A" if character in trigger), "")


def _in_word(character: str) -> bool:
    return character.isalnum() or character in "_-"


def entropy(text: str) -> float:
    """Bits per character (Shannon)."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in (text.count(c) for c in set(text)))


# ---------------------------------------------------------------------------------------------------------------------
# Private keys: whole, cut at either end, or as one Python string with \n in it

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINES = re.compile(
    r"(?:[\s\"',\\]{0,12}[A-Za-z0-9+/=]{16,4096}){0,400}(?:[\s\"',\\]{0,12}[A-Za-z0-9+/=]{1,15}(?![\w ]))?"
)
_KEY_LINE = re.compile(r"[\s\"',\\rn]{0,12}[A-Za-z0-9+/=]{1,4096}[\s\"',\\]{0,12}")
_KEY_HEADER = re.compile(r"(?:\s{0,8}(?:\\n)?(?:Proc-Type|DEK-Info|Version|Comment): ?[^\n\\]{0,200}){1,6}")
_LONGEST_KEY = 20_000


def _private_keys(text: str) -> Iterator[Span]:
    end: int | None = -1  # where the next END line stands; None: there is none any more
    done = 0
    for at in _hits(text, "-----BEGIN "):
        begin = _BEGIN.match(text, at)
        if begin is None or at < done:
            continue
        if end is not None and end < begin.end():
            end = next((hit for hit in _next(text, "-----END ", begin.end())), None)
        last = _END.match(text, end) if end is not None else None
        between = text.find("-----BEGIN ", begin.end(), end) if end is not None else -1
        if last is not None and last.start() - at <= _LONGEST_KEY and between < 0:
            done = last.end()
        else:
            header = _KEY_HEADER.match(text, begin.end())
            lines = _KEY_LINES.match(text, header.end() if header else begin.end())
            done = lines.end() if lines else begin.end()
        yield Span(at, done, "private-key")
    yield from _key_tails(text)


def _next(text: str, literal: str, start: int) -> Iterator[int]:
    at = text.find(literal, start)
    if at >= 0:
        yield at


def _key_tails(text: str) -> Iterator[Span]:
    """The end of a key whose beginning was cut off: the lines of base64 before an END line."""
    floor = 0
    for at in _hits(text, "-----END "):
        last = _END.match(text, at)
        if last is None:
            continue
        separator = "\\n" if text[max(0, at - 2) : at] == "\\n" else "\n"
        start = at
        while start > floor and at - start < _LONGEST_KEY:
            line = max(text.rfind(separator, max(floor, start - 4200), start - len(separator) + 1), floor - 1)
            first = line + len(separator) if line >= floor else max(floor, start - 4200)
            if _KEY_LINE.fullmatch(text, first, start) is None and text[first:start].strip():
                word = re.compile(r"[A-Za-z0-9+/=]{16,4096}\s{0,4}(?:\\n)?$").search(text, first, start)
                start = word.start() if word else start
                break
            if line < floor:
                start = first
                break
            start = line if line > floor else floor
            if text[start:at].strip() == "" and at - start > 4:
                break
        floor = last.end()
        yield Span(start, last.end(), "private-key")


# ---------------------------------------------------------------------------------------------------------------------
# scheme://user:password@host

_URL = re.compile(r"://[^\s:/?#@\"'<>]{0,128}:([^\s\"'<>/]{1,256})@(?=[\w\[{$])")


def _url_passwords(text: str) -> Iterator[Span]:
    for at in _hits(text, "://"):
        match = _URL.match(text, at)
        if match is not None and not _is_template(match[1]):
            yield Span(match.start(1), match.end(1), "url-password")


# ---------------------------------------------------------------------------------------------------------------------
# name = "literal", NAME=literal, "name": "literal", --name literal, Password=literal;, Bearer literal

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
    ["password", "passwd", "passphrase", "secret", "token", "string", "str", "none", "null", "true", "false", "required", "optional", "hidden", "text", "bearer", "basic", "input", "undefined", "int", "bytes", "any", "bool", "number", "object", "api_key", "apikey", "username", "user", "email", "float", "self", "value", "public"]
)
_NOT_AUTH = re.compile(
    r"(?i:max|min|num|n|pad|eos|bos|unk|sep|cls|mask|special|stop|next|last|first|per|page|csrf|per)[_-]?$"
)
_TEMPLATE = re.compile(r"\$\{?[\w.]+\}?|\$\(.*\)?|%\(?\w*\)?[sd]?|<.*>|\{.*\}|\[.*\]|\{\{.*\}\}")
_FILLER = frozenset("*xX.•-_?#…")


def _headers_and_assignments(text: str) -> Iterator[Span]:
    lower = text.lower() if "İ" not in text else text.replace("İ", "I").lower()  # the one letter that grows
    for at in _hits(lower, "bearer "):
        match = _BEARER.match(text, at)
        if match is not None and any(c.isdigit() for c in match[1]):
            yield Span(match.start(1), match.end(1), "bearer-token")
    for at in _hits(lower, "authorization"):
        match = _BASIC.match(text, at)
        if match is not None:
            yield Span(match.start(1), match.end(1), "basic-auth")
    for at in _hits(text, "sig=") if "=" in text else ():
        match = _SAS.match(text, at)
        if match is not None:
            yield Span(match.start(1), match.end(1), "azure-signature")
    if not any(operator in text for operator in ("=", ":", ",", "--")):
        return
    for name, before, kind in _NAMES:
        done = 0  # a value was judged up to here, with all names inside it
        for at in _hits(lower, name):
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
    if bare is None or _is_template(bare[1]) or bare[1].lower() in _WORDS:
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


def _is_template(value: str) -> bool:
    return "«secret:" in value or not set(value) - _FILLER or _TEMPLATE.fullmatch(value) is not None


def _is_literal_secret(value: str, kind: str, operator: str) -> bool:
    size = len(value)
    if size < (4 if kind == "password" else 6) or _is_template(value) or value.lower() in _WORDS:
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
    if len(value) < 6 or _is_template(value) or value.lower() in _WORDS or not value.isascii():
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


# ---------------------------------------------------------------------------------------------------------------------
# Exact values, from the environment

_SENSITIVE = re.compile(
    r"pass(?:word|wd|phrase|code)?(?:$|_)|(?:^|_)pwd|secret|token|api_?key|access_?key|private_?key|credential|_key$|_auth$|^auth_",
    re.IGNORECASE,
)
_COMMON = frozenset(
    ["true", "false", "none", "null", "default", "localhost", "127.0.0.1", "0.0.0.0", "disabled", "enabled", "production", "development", "testing", "staging", "password", "secret", "string", "root", "admin", "jovyan", "jupyter", "ubuntu", "python", "python3", "notebook", "123456"]
)


def environment_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The exact texts to mask: values of variables with a sensitive name, passwords in URLs of any variable, and how
    both look inside JSON, a Python string or a URL. Longest first."""
    values: set[str] = set()
    for name, value in environ.items():
        if _SENSITIVE.search(name):
            values.add(value.strip())
        match = _URL.search(value)
        if match is not None:
            values.update((match[1], unquote(match[1])))
    kept = {value for value in values if _worth_masking(value)}
    spelled = {spelling for value in kept for spelling in _spellings(value)}
    return tuple(sorted(spelled, key=lambda value: (-len(value), value)))


def _worth_masking(value: str) -> bool:
    return (
        len(value) >= 6 and value.lower() not in _COMMON and not value.startswith(("/", "./", "~")) and "«" not in value
    )


def _spellings(value: str) -> tuple[str, ...]:
    return (
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        quote(value, safe=""),
    )


def _exact(text: str, value: str) -> Iterator[Span]:
    short = len(value) < 12  # only as a word of its own: "secret" would be found in "secretary"
    for at in _hits(text, value):
        end = at + len(value)
        if short and ((at and text[at - 1].isalnum()) or text[end : end + 1].isalnum()):
            continue
        yield Span(at, end, "environment")
