"""A check of `preflight` or `doctor`: what was found, and the cure where it is not well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WELL, DOUBT, WRONG = "ok", "look", "WRONG"


@dataclass(frozen=True)
class Check:
    """`cure` says what to do; it stands with every DOUBT and WRONG."""

    what: str
    state: str
    found: str
    cure: str = ""


def show(checks: Iterable[Check]) -> int:
    """Each on the screen as it is made; 1 when one is WRONG."""
    status = 0
    for check in checks:
        print(f"{check.state:>5}  {check.what}: {check.found}", flush=True)
        if check.cure and check.state != WELL:
            print(f"       {check.cure}", flush=True)
        if check.state == WRONG:
            status = 1
    return status
