"""`cellar-hub check`, the doctor: a line for each thing that was looked at from where it is asked."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from cellar.settings import SettingsError

from ..accounts import Unusable
from ..doctor import Failed
from ..doctor.places import checks
from ..hubapi import HubRefused
from ..store import StoreDown

NOWHERE = "check is asked where a service of Cellar Hub runs; on its machine: hub_config/compose/cellar-hub check"


def run(_options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Print a line for each check; exit status 1 when one failed. Raises SettingsError, and Unusable in no place."""
    failures = done = 0
    for name, check in checks(env):
        done += 1
        try:
            print(f"ok    {name}: {check()}", flush=True)
        except (Failed, SettingsError, HubRefused, StoreDown) as problem:
            failures += 1
            print(f"FAIL  {name}: {problem}", flush=True)
    if not done:
        raise Unusable(NOWHERE)
    print("Everything works together." if not failures else f"{failures} of {done} checks failed.")
    return 1 if failures else 0
