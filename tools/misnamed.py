"""What is wrong with a .env and can be said before anything is built: a name that nothing reads, as a mistyped one is,
and a password that the database's address cannot hold. What a value may be, the services say at their start."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

OURS = ("CELLAR_", "VLLM_", "POSTGRES_")
"""How our settings begin; what else stands in .env may be an overlay's of your own."""
PASSWORDS = ("POSTGRES_PASSWORD", "POSTGRES_HUB_PASSWORD")
LIKE = 0.75
"""From which likeness a name may be a mistyped other one."""


def check_env(text: str, name: str, example: Collection[str], compose: str) -> None:
    """`text` of the file `name`; `example`: the settings there are; `compose`: the text of the compose files that are
    used, which may read others. SystemExit that says what each wrong name could mean."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    there = dict.fromkeys(line.partition("=")[0].strip() for line in lines if "=" in line)
    known = {*example, *re.findall(r"\$\{([A-Z0-9_]+)", compose)}
    fixed = set(re.findall(r"^ +([A-Z0-9_]+):", compose, re.MULTILINE)) - known
    if wrong := [each for each in there if each.startswith(OURS) and each not in known]:
        told = "\n".join(f"  {each}: {_what_else(each, known, fixed)}" for each in wrong)
        raise SystemExit(f"{name} sets what nothing reads (.env.example beside it has every setting):\n{told}")


def _what_else(name: str, known: Collection[str], fixed: Collection[str]) -> str:
    if name in fixed:
        return "the compose files set it themselves; take the line away."
    near = difflib.get_close_matches(name, sorted(known), 1, LIKE)
    said = [f"do you mean {near[0]}?"] if near else []
    if name.endswith("_KEY"):
        said.append("A key that CELLAR_MODELS names belongs into gateway.env.")
    return " ".join(said) or "there is no such setting."


def check_passwords(settings: Mapping[str, str], name: str) -> None:
    """Those of the overlay postgres, which stand in an address."""
    for each in PASSWORDS:
        if not re.fullmatch("[A-Za-z0-9]+", settings.get(each, "")):
            raise SystemExit(f"{each} in {name} must be letters and digits: it stands in an address.")
