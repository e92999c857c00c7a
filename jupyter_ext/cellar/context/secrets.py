"""What a secret looks like: texts in, spans out.

Work is linear in the text's length, whatever it holds. Every rule has a literal trigger that `str.find` looks for (a
few hundred MB/s); only at a hit a regular expression is tried, anchored there and with bounded quantifiers. No rule
scans from every position. Names are not secrets (`token = get_token()`, `os.environ["X"]`, `${PASSWORD}`), literals
are, placeholders like "changeme" included: nobody can tell them from a real one.

Sources of the formats: the vendors' documents and the rules of gitleaks and GitHub secret scanning.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

from cellar.context.assignments import headers_and_assignments
from cellar.context.spans import Span, entropy, hits, is_template


def find_secrets(text: str, values: Sequence[str] = (), encoded: Sequence[str] = ()) -> list[Span]:
    """Spans of secrets in `text`: sorted, apart from each other. `values` are exact secrets (`environment_values`),
    `encoded` is how they look in base64 (`in_base64`)."""
    spans = [*_private_keys(text), *_tokens(text), *_url_passwords(text), *headers_and_assignments(text)]
    for value in values:
        spans.extend(_exact(text, value))
    if encoded:
        spans.extend(_in_base64(text, encoded))
    return merge(spans)


def merge(spans: list[Span]) -> list[Span]:
    """Sorted, and one span for those that overlap."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if merged and span.start < merged[-1].end:
            if span.end > merged[-1].end:
                merged[-1] = Span(merged[-1].start, span.end, merged[-1].kind)
        else:
            merged.append(span)
    return merged


# ---------------------------------------------------------------------------------------------------------------------
# Tokens that say themselves what they are: (trigger, kind, the whole token from the trigger on)


def _mixed(value: str) -> bool:
    return any(c.isdigit() for c in value) and (any(c.isupper() for c in value) or len(value) >= 40)


_Token = tuple[str, str, re.Pattern[str], Callable[[str], bool] | None]
_TOKENS: tuple[_Token, ...] = tuple(
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
_BY_GATE: dict[str, list[_Token]] = {}
for _token in _TOKENS:
    _BY_GATE.setdefault(next((gate for gate in "_-.A" if gate in _token[0]), ""), []).append(_token)
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_AZURE_CLIENT = re.compile(r"[\w~.-]{3}8Q~[\w~.-]{31,34}(?![\w~.-])")


def _tokens(text: str) -> Iterator[Span]:
    for trigger, kind, pattern, check in [row for row in _possible(text) if row[0] in text]:
        done = 0
        for at in hits(text, trigger):
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
    for at in hits(text, "8Q~"):
        match = _AZURE_CLIENT.match(text, max(0, at - 3))
        if match is not None:
            yield Span(match.start(), match.end(), "azure-secret")


def _possible(text: str) -> Iterator[_Token]:
    """Most texts of numbers do not have the one character that a group of triggers shares: looked for once."""
    for gate, rows in _BY_GATE.items():
        if gate in text:
            yield from rows


def _in_word(character: str) -> bool:
    return character.isalnum() or character in "_-"


# ---------------------------------------------------------------------------------------------------------------------
# Private keys: whole, cut at either end, or as one Python string with \n in it

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINES = re.compile(
    r"(?:[\s\"',\\]{0,12}[A-Za-z0-9+/=]{16,4096}){0,400}(?:[\s\"',\\]{0,12}[A-Za-z0-9+/=]{1,15}(?![\w ]))?"
)
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_AROUND_KEY = " \t\r\n\f\v\"',\\"  # beside the base64 of a line of a key
_SHORTEST_WORD = 16  # characters of a key's line behind other text
_MOST_BLANK = 4  # characters between a key's last line and its END line
_KEY_HEADER = re.compile(r"(?:\s{0,8}(?:\\n)?(?:Proc-Type|DEK-Info|Version|Comment): ?[^\n\\]{0,200}){1,6}")
_LONGEST_KEY = 20_000


def _private_keys(text: str) -> Iterator[Span]:
    end: int | None = -1  # where the next END line stands; None: there is none any more
    done = 0
    for at in hits(text, "-----BEGIN "):
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
    for at in hits(text, "-----END "):
        last = _END.match(text, at)
        if last is None:
            continue
        start = _start_of_tail(text, max(floor, at - _LONGEST_KEY), at)
        floor = last.end()
        yield Span(start, last.end(), "private-key")


def _start_of_tail(text: str, floor: int, end: int) -> int:
    """Backwards, line by line, while a line is base64; each character is looked at a fixed number of times."""
    separator = "\\n" if text.endswith("\\n", floor, end) else "\n"
    start = stop = end
    while stop > floor:
        newline = text.rfind(separator, floor, stop)
        first = newline + len(separator) if newline >= 0 else floor
        line = text[first:stop].strip(_AROUND_KEY)
        if line.strip(_BASE64):  # something else stands in this line; the key may have begun behind it
            stop = first + len(text[first:stop].rstrip(_AROUND_KEY))
            word = stop - len(line) + len(line.rstrip(_BASE64))
            return word if stop - word >= _SHORTEST_WORD else start
        if line:
            start = first
        elif start == end and end - stop > _MOST_BLANK:
            break
        stop = newline
    return start


# ---------------------------------------------------------------------------------------------------------------------
# scheme://user:password@host

_URL = re.compile(r"://[^\s:/?#@\"'<>]{0,128}:([^\s\"'<>/]{1,256})@(?=[\w\[{$])")


def _url_passwords(text: str) -> Iterator[Span]:
    for at in hits(text, "://"):
        match = _URL.match(text, at)
        if match is not None and not is_template(match[1]):
            yield Span(match.start(1), match.end(1), "url-password")


# ---------------------------------------------------------------------------------------------------------------------
# Exact values, from the environment

_SENSITIVE = re.compile(
    r"pass(?:word|wd|phrase|code)?(?:$|_)|(?:^|_)pwd?(?:$|_)|secret|token|api_?key|access_?key|private_?key|credential"
    r"|_key$|(?:^|_)auth$|^auth_|(?:^|_)(?:pat|cookie)$|dsn$|conn(?:ection)?_?str(?:ing)?$|webhook(?:_ur[il])?$",
    re.IGNORECASE,
)
_FOLDERS = frozenset(("PWD", "OLDPWD"))
_PASSWORD_OF_URL = re.compile(
    r"://[^\s:/?#@\"'<>]{0,128}:(\S{1,256})@"
)  # here / needs no escape: it is an address for sure
_COMMON = frozenset(
    (
        *("true", "false", "none", "null", "default", "localhost", "127.0.0.1", "0.0.0.0", "disabled", "enabled"),
        *("production", "development", "testing", "staging", "password", "secret", "string", "root", "admin", "jovyan"),
        *("jupyter", "ubuntu", "python", "python3", "notebook", "123456"),
    )
)


def environment_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The exact texts to mask: values of variables with a sensitive name, passwords in URLs and connection strings of
    any variable, and how they look inside JSON, a Python string or a URL. Longest first."""
    values: set[str] = set()
    for name, value in environ.items():
        if name in _FOLDERS:
            continue
        if _SENSITIVE.search(name):
            values.add(value.strip())
        match = _PASSWORD_OF_URL.search(value)
        if match is not None:
            values.update((match[1], unquote(match[1])))
        if "=" in value:  # a connection string
            values.update(value[span.start : span.end] for span in headers_and_assignments(value))
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


_WORD_OF_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}+")
_LEAST_INSIDE = 12  # characters of base64 that are no accident inside a longer word


def in_base64(values: Sequence[str]) -> tuple[str, ...]:
    """What every base64 that holds one of the values has in it. Three bytes are four characters, so it depends on the
    place modulo three; characters that hold bits of a neighbour are left out. A short value is known only when it was
    encoded alone, as in a Kubernetes secret."""
    found: set[str] = set()
    for value in values:
        data = value.encode("utf-8", "surrogatepass")
        for encode in (b64encode, urlsafe_b64encode):
            found.add(encode(data).decode().rstrip("="))
            for before in range(3):
                first, behind = -(-before * 8 // 6), (before + len(data)) * 8 // 6
                inside = encode(b"\0" * before + data).decode()[first:behind]
                if len(inside) >= _LEAST_INSIDE:
                    found.add(inside)
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def _in_base64(text: str, encoded: Sequence[str]) -> Iterator[Span]:
    """Words that hold an encoded value, whole: what stands beside it would tell some of its bits."""
    if text == text.lower():  # most output is numbers
        encoded = [value for value in encoded if value == value.lower()]
        if not encoded:
            return
    shortest = min(map(len, encoded))
    for word in _WORD_OF_BASE64.finditer(text):
        if word.end() - word.start() < shortest:
            continue
        held = word[0]
        if any(value in held if len(value) >= _LEAST_INSIDE else value == held for value in encoded):
            yield Span(word.start(), word.end(), "environment")


def _exact(text: str, value: str) -> Iterator[Span]:
    short = len(value) < 12  # only as a word of its own: "secret" would be found in "secretary"
    for at in hits(text, value):
        end = at + len(value)
        if short and ((at and text[at - 1].isalnum()) or text[end : end + 1].isalnum()):
            continue
        yield Span(at, end, "environment")
