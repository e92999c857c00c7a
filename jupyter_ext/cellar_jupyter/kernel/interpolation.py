"""Values of the kernel inside a question: `{name}`, `{name.attribute}`, `{name['key']}`, `{In[3]}`, `{Out[2]}`.

A brace that does not enclose such a name stays as it is, so that code, JSON and `${SHELL}` can be pasted into a
question; `{{name}}` is a literal `{name}`. Nothing is called and no expression is evaluated.
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


def interpolate(text: str, names: Mapping[str, object], show: Callable[[object], str]) -> str:
    """`show` turns a value that is no string into text. Raises UsageError for a name or step that is not there."""

    def fill(match: re.Match[str]) -> str:
        literal, _, _, name, steps = match.groups()
        if literal is not None:
            return str(literal)
        value = _look_up(name, steps, names)
        return cut_middle(value if isinstance(value, str) else show(value))

    return _REFERENCE.sub(fill, text)


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
        if name == "In" and value == "":
            raise UsageError("unknown_name", name=path)  # In[0] is an empty place holder
    return value


def _key(step: str) -> int | str:
    inner = step[1:-1]
    return inner[1:-1] if inner[0] in "'\"" else int(inner)


def cut_middle(text: str, limit: int = MAX_VALUE) -> str:
    """At most about `limit` characters, head and tail kept. Secrets are masked later, so no word is cut in two."""
    if len(text) <= limit:
        return text
    from cellar.context.clean import raw_edges  # with the first question, not when the extension is loaded

    end, start = raw_edges(text, limit * 2 // 3, limit // 3)
    return f"{text[:end]}\n… {start - end} characters left out …\n{text[start:]}"
