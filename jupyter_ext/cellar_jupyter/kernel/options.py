"""The magic's line: options first, then a command or the question itself.

Not argparse: it exits the process on a bad option, and its quoting rules break a question with an apostrophe in it.
Only the options at the start of the line are read as options; everything behind them is the user's own text.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from .words import Spoken

Format = Literal["text", "markdown", "code", "json", "html", "math"]
Scope = Literal["none", "cell", "notebook"]
Command = Literal["ask", "fix", "explain", "models", "usage", "help", "reset"]

FORMATS: tuple[Format, ...] = get_args(Format)
SCOPES: tuple[Scope, ...] = get_args(Scope)
COMMANDS: tuple[Command, ...] = get_args(Command)
REPORTS: frozenset[Command] = frozenset({"models", "usage", "help", "reset"})  # take no text behind them

_NAMES = {
    "-m": "model",
    "--model": "model",
    "-f": "format",
    "--format": "format",
    "-o": "output",
    "--output": "output",
    "--context": "context",
}
_FLAG = re.compile(r"\s*(--?[A-Za-z][\w-]*)(?:=|(?=\s|$))")
_VALUE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S+))""")


class UsageError(Spoken):
    """The line cannot be understood."""


@dataclass(frozen=True)
class Options:
    command: Command = "ask"
    model: str | None = None
    format: Format = "markdown"
    output: str | None = None
    context: Scope = "notebook"
    text: str = ""
    code: str = ""  # below `%%ai fix` and `%%ai explain`: what they are about, byte for byte


def parse_line(line: str, cell: str | None = None) -> Options:
    """`line` is what stands behind `%ai`, `cell` the lines below `%%ai` (None for the line magic).

    A command word counts as one only where it cannot be the beginning of a question: alone on the line, or, for `fix`
    and `explain`, as the first word with a cell below. `%ai fix the loop` is a question, `%ai fix` a command.
    Raises UsageError.
    """
    found, rest = _read_flags(line)
    if found.pop("help", None):
        return Options(command="help")
    command, text, code = _read_command(rest.strip(), cell)
    return Options(
        command=command,
        model=found.get("model"),
        format=_one_of(found.get("format", "markdown"), FORMATS, "bad_format"),
        output=_variable(found.get("output")),
        context=_one_of(found.get("context", "notebook"), SCOPES, "bad_context"),
        text=text,
        code=code,
    )


def _read_flags(line: str) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    while match := _FLAG.match(line):
        flag, line = match.group(1), line[match.end() :]
        if flag in ("-h", "--help"):
            found["help"] = "yes"
            continue
        if flag not in _NAMES:
            raise UsageError("unknown_option", option=flag)
        value = _VALUE.match(line)
        if value is None:
            raise UsageError("option_needs_value", option=flag)
        found[_NAMES[flag]] = next(group for group in value.groups() if group is not None)
        line = line[value.end() :]
    return found, re.sub(r"^\s*--(?=\s)", "", line)


def _read_command(rest: str, cell: str | None) -> tuple[Command, str, str]:
    """The command, the words to it, the code below it."""
    first, _, behind = rest.partition(" ")
    code = (cell or "").strip("\n").rstrip()
    if rest in COMMANDS and rest != "ask":
        command: Command = next(known for known in COMMANDS if known == rest)
        return command, "", code if command not in REPORTS else ""
    if code and first in ("fix", "explain"):
        return "fix" if first == "fix" else "explain", behind.strip(), code
    text = "\n".join(part for part in (rest, code) if part.strip())
    if not text.strip():
        raise UsageError("no_question")
    return "ask", text, ""


T = TypeVar("T", bound=str)


def _one_of(value: str, allowed: tuple[T, ...], key: str) -> T:
    for known in allowed:
        if known == value:
            return known
    raise UsageError(key, value=value, allowed=", ".join(allowed))


def _variable(name: str | None) -> str | None:
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
        raise UsageError("bad_variable", value=name)
    return name
