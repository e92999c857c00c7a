"""The hub's pages in English and Korean, with our words for things: a workspace, not a server.

JupyterHub's templates know one language. They stay as they are; `templates/page.html` goes around all of them and
replaces whole texts by those of a catalogue, in the browser, also what comes later: the steps of a start, and why it
failed. The language is the one that was chosen on the console's pages in this browser, else the first of the browser's
that is one of ours. A text that the catalogue does not have stays as it is; what users, profiles and containers are
called is never looked at twice, because only whole texts count.

Design note. Templates of our own in two languages would be copies of JupyterHub's, to be compared with each of its
releases; and a start's steps are told by the spawner to every page alike, whoever looks.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
LANGUAGES = ("en", "ko")


@cache
def texts() -> dict[str, list[str]]:
    """What stands on a page -> what stands there instead, by LANGUAGES. `{name}` is whatever stands there."""
    found: dict[str, list[str]] = json.loads((FOLDER / "texts.json").read_text("utf-8"))
    return found


def template_vars() -> dict[str, str]:
    """For c.JupyterHub.template_vars; as JSON that may stand in a script."""
    return {"cellar_texts": json.dumps(texts(), ensure_ascii=True).replace("<", "\\u003c")}


def in_language(text: str, language: str) -> str | None:
    """As the page does it; None: the catalogue does not have it."""
    for key, values in texts().items():
        names = re.findall(r"\{(\w+)\}", key)
        found = re.fullmatch(re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(key)), text)
        if found:
            value = values[LANGUAGES.index(language)]
            for name, given in zip(names, found.groups(), strict=True):
                value = value.replace(f"{{{name}}}", given)
            return value
    return None
