"""Values of the kernel inside a question: `{name}`, `{name.attribute}`, `{name['key']}`, `{In[3]}`, `{Out[2]}`.

A brace that does not enclose such a name stays as it is, so that code, JSON and `${SHELL}` can be pasted into a
question; `{{name}}` is a literal `{name}`. Code between backticks and in fences stays as it is, whatever is in it: an
f-string is no question of ours. No expression is evaluated; but an attribute, an item and how a value is printed may
run code of the value's own, and what that raises is told in one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .options import UsageError

MAX_VALUE = 20_000  # characters of one value; more is cut in the middle

_STEP = r"(?:\.[A-Za-z_]\w*|\[-?\d+\]|\['[^'\]]*'\]|\[\"[^\"\]]*\"\])"
_NAME = r"\{\s*([A-Za-z_]\w*)((?:" + _STEP + r")*)\s*\}"
_REFERENCE = re.compile(r"\{(" + _NAME + r")\}|(?<![\{$])" + _NAME)
_ONE_STEP = re.compile(_STEP)
_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|(?<!`)(?P<ticks>`+)(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`)",
    re.DOTALL | re.MULTILINE,
)


def interpolate(text: str, names: Mapping[str, object], show: Callable[[object], str]) -> str:
    """`show` turns a value that is no string into text. Raises UsageError for a name or step that is not there, and for
    a value that cannot be read."""

    def fill(match: re.Match[str]) -> str:
        literal, _, _, name, steps = match.groups()
        if literal is not None:
            return str(literal)
        value = _look_up(name, steps, names)
        try:
            return cut_middle(value if isinstance(value, str) else show(value))
        except Exception as error:  # noqa: BLE001  # the value's own code
            raise UsageError("unreadable_value", name=name + steps, problem=problem_of(error)) from None

    pieces: list[str] = []
    end = 0
    for code in _CODE.finditer(text):
        pieces += (_REFERENCE.sub(fill, text[end : code.start()]), code.group(0))
        end = code.end()
    return "".join((*pieces, _REFERENCE.sub(fill, text[end:])))


def _look_up(name: str, steps: str, names: Mapping[str, object]) -> object:
    if name not in names:
        raise UsageError("unknown_name", name=name)
    value = names[name]
    path = name
    for step in _ONE_STEP.findall(steps):
        path += step
        try:
            value = getattr(value, step[1:]) if step[0] == "." else value[_key(step)]  # type: ignore[index]
        except (AttributeError, LookupError, TypeError):
            raise UsageError("unknown_name", name=path) from None
        except Exception as error:  # noqa: BLE001  # a property's or __getitem__'s own
            raise UsageError("unreadable_value", name=path, problem=problem_of(error)) from None
        if name == "In" and value == "":
            raise UsageError("unknown_name", name=path)  # In[0] is an empty place holder
    return value


def _key(step: str) -> int | str:
    inner = step[1:-1]
    return inner[1:-1] if inner[0] in "'\"" else int(inner)


def problem_of(error: Exception) -> str:
    """An exception on one line; its message is somebody's code, too."""
    try:
        message = " ".join(str(error).split())[:200]
    except Exception:  # noqa: BLE001  # a `__str__` of somebody's own may raise anything
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def cut_middle(text: str, limit: int = MAX_VALUE) -> str:
    """At most about `limit` characters, head and tail kept. Secrets are masked later, so no word is cut in two."""
    if len(text) <= limit:
        return text
    from cellar.context.clean import raw_edges  # with the first question, not when the extension is loaded

    end, start = raw_edges(text, limit * 2 // 3, limit // 3)
    return f"{text[:end]}\n… {start - end} characters left out …\n{text[start:]}"
