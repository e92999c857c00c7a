"""The magic's line: options first, then a command or the question itself.

Not argparse: it exits the process on a bad option, and its quoting rules break a question with an apostrophe in it.
Options are read at the start of the line and right behind a command word; everything behind them is the user's own
text, and so is what only looks like options there: `%ai explain -f in grep` is a question.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .words import Spoken

Format = Literal["text", "markdown", "code", "json", "html", "math"]
Scope = Literal["none", "cell", "notebook"]
Command = Literal["ask", "fix", "explain", "models", "usage", "help", "reset"]

FORMATS: tuple[Format, ...] = get_args(Format)
SCOPES: tuple[Scope, ...] = get_args(Scope)
COMMANDS: dict[str, Command] = {word: word for word in get_args(Command) if word != "ask"}
ABOUT_CODE: frozenset[Command] = frozenset({"fix", "explain"})  # take words behind them, and code below

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


@dataclass(frozen=True)
class _Flags:
    """Options as they stand one behind the other: `values` by the fields of `Options`, checked; then the `rest`."""

    rest: str
    values: dict[str, Any] = field(default_factory=dict)
    problem: UsageError | None = None
    help: bool = False
    ended: bool = False  # by `--`: what follows is text


def parse_line(line: str, cell: str | None = None) -> Options:
    """`line` is what stands behind `%ai`, `cell` the lines below `%%ai` (None for the line magic).

    A command word counts as one only where it cannot be the beginning of a question: alone on the line but for options,
    or, for `fix` and `explain`, as the first word with a cell below. `%ai fix the loop` is a question, `%ai fix` a
    command. Raises UsageError.
    """
    flags = _read_flags(line)
    if flags.problem is not None:
        raise flags.problem
    if flags.help:
        return Options(command="help")
    rest, code = flags.rest.strip(), (cell or "").strip("\n").rstrip()
    if command := _read_command(rest, code, flags):
        return command
    text = "\n".join(part for part in (rest, code) if part.strip())
    if not text.strip():
        raise UsageError("no_question")
    return Options(text=text, **flags.values)


def _read_command(rest: str, code: str, before: _Flags) -> Options | None:
    """None: it is a question. Raises UsageError for options that cannot be words of the user's."""
    word, _, behind = rest.partition(" ")
    command = COMMANDS.get(word)
    if command is None or before.ended:
        return None
    flags = _read_flags(behind)
    about_code = bool(code) and command in ABOUT_CODE
    if flags.rest.strip() and not about_code:
        return None
    if flags.rest.strip() and (flags.problem is not None or flags.help):
        flags = _Flags(behind)
    if flags.problem is not None:
        raise flags.problem
    if flags.help:
        return Options(command="help")
    found = {**before.values, **flags.values}
    return Options(command=command, text=flags.rest.strip(), code=code if about_code else "", **found)


def _read_flags(line: str) -> _Flags:
    values: dict[str, Any] = {}
    problem: UsageError | None = None
    asks_help = False
    while match := _FLAG.match(line):
        flag, line = match.group(1), line[match.end() :]
        if flag in ("-h", "--help"):
            asks_help = True
            continue
        value = _VALUE.match(line)
        if value is not None and flag not in _NAMES and value.group().lstrip().startswith("-"):
            value = None  # an unknown option takes a value, but no other option for one
        try:
            if flag not in _NAMES:
                raise UsageError("unknown_option", option=flag)
            if value is None:
                raise UsageError("option_needs_value", option=flag)
            values[_NAMES[flag]] = _checked(_NAMES[flag], next(group for group in value.groups() if group is not None))
        except UsageError as error:
            problem = problem or error
        line = line[value.end() :] if value is not None else line
    rest = re.sub(r"^\s*--(?=\s)", "", line)
    return _Flags(rest, values, problem, asks_help, ended=rest != line)


def _checked(name: str, value: str) -> str:
    allowed = {"format": FORMATS, "context": SCOPES}.get(name)
    if allowed is not None and value not in allowed:
        raise UsageError(f"bad_{name}", value=value, allowed=", ".join(allowed))
    if name == "output" and (not value.isidentifier() or keyword.iskeyword(value)):
        raise UsageError("bad_variable", value=value)
    return value
