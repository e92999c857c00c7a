"""`python -m tools.configure_page` writes docs/configure.md: every setting of Cellar Hub in tables.

What may be set is the same list as in .env.example (tools/env_example.py); what the compose files fix comes from the
settings' classes. Who is given a variable is read from the compose files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cellar_hub import settings
from cellar_hub.doctor.settings import ProxySettings
from cellar_hub.settings import described

from tools.env_example import COMPOSE, SECRETS, Entry, sections, shown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configure.md"
HEAD = """\
# Settings of Cellar Hub

Written by `python -m tools.configure_page` from the settings' classes
([settings.py](../hub_config/cellar_hub/settings.py)) and the compose files; a test compares them. All are variables:
write them into `hub_config/compose/.env`, where [.env.example](../hub_config/compose/.env.example) has them ready, and
run `make hub` once more. An empty one counts as not set. A wrong value stops the start with the variable's name, and so
does a line that nothing reads. What a group of users may do is no setting but policy ([gateway.md](gateway.md)); what a
workspace's server takes is in [settings.md](settings.md).

*Who*: the services in whose definition it stands.
"""
FIXED_HEAD = """\
## Fixed by the compose files

Paths and names inside of the containers. They are settings of the programs, and matter to whoever starts these in
another way; in `.env` they do nothing.
"""
ANCHORS = {"x-environment": "forwarder", "x-forwarder": "forwarder", "x-service": "hub's side"}
"""What the compose files share between services: whose it is."""


def classes() -> list[type]:
    """Every class of settings."""
    found = [each for name, each in vars(settings).items() if name.endswith("Settings") and isinstance(each, type)]
    return [*found, ProxySettings]


def handed() -> dict[str, list[str]]:
    """Services by the variable that a compose file puts into their definition."""
    found: dict[str, list[str]] = {}
    for path in (COMPOSE / "docker-compose.yml", *sorted(COMPOSE.glob("docker-compose.*.yml"))):
        section = service = ""
        for line in path.read_text().splitlines():
            if head := re.match(r"([a-z][a-z-]*):", line):
                section, service = head[1], ANCHORS.get(head[1], "")
            elif section == "services" and (head := re.match(r"  ([a-z][a-z-]*?)(?:-[0-9])?:", line)):
                service = head[1]
            for variable in re.findall(r"\$\{([A-Z0-9_]+)", line.partition(" #")[0]):
                if service not in found.setdefault(variable, []):
                    found[variable].append(service)
    return found


def table(entries: Iterable[Entry], who: dict[str, list[str]] | None = None) -> list[str]:
    head = ["variable", "default", "what it is", *(["who"] if who is not None else [])]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for variable, default, help in entries:
        value = "made by `make hub`" if variable in SECRETS else f"`{_cell(default)}`" if default else ""
        cells = [f"`{variable}`", value, _cell(help[0].upper() + help[1:])]
        if who is not None:
            cells.append(", ".join(who.get(variable, [])))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def fixed() -> list[Entry]:
    """What the settings' classes read and nobody may set in .env."""
    settable = {variable for _, entries in sections() for variable, _, _ in entries}
    known: dict[str, Entry] = {}
    for kind in classes():
        for variable, help, default in described(kind):
            if variable not in settable:
                address = ":".join(map(str, default)) if isinstance(default, tuple) else shown(variable, default)
                known.setdefault(variable, (variable, address, help))
    return sorted(known.values())


def page() -> str:
    who = handed()
    lines = [HEAD]
    for title, entries in sections():
        lines += [f"## {title.rstrip('.')}", "", *table(entries, who), ""]
    return "\n".join([*lines, FIXED_HEAD, *table(fixed()), ""])


if __name__ == "__main__":
    PAGE.write_text(page())
