"""Verifying the audit from a page: in a process of its own, because ten million rows take minutes of a processor.

`python -m cellar_hub.console.verifying` is that process: settings from the environment, the report as JSON on standard
output. One runs at a time; what it found stays on the page until the next.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping

import msgspec
from cellar.settings import SettingsError

from cellar_hub.audit import Keys, Report, verify
from cellar_hub.settings import ConsoleSettings
from cellar_hub.store import Store, StoreDown

log = logging.getLogger(__name__)


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """`ended`: None while it runs. `report`: None when there is none, and `failed` says why. Times: of the epoch."""

    by: str
    began: float
    ended: float | None = None
    report: Report | None = None
    failed: str = ""
    has_heads: bool = True


class Verifier:
    """One per process. `env`: what the other process is started with."""

    def __init__(self, env: Mapping[str, str], has_heads: bool) -> None:
        self._env = dict(env)
        self._has_heads = has_heads
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.last: Verified | None = None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, by: str) -> bool:
        """Whether it began; False while another one runs."""
        if self.running:
            return False
        self.last = Verified(by=by, began=time.time(), has_heads=self._has_heads)
        self._task = asyncio.create_task(self._run(self.last))
        return True

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, begun: Verified) -> None:
        report, failed = None, ""
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", __name__),
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            said, errors = await self._process.communicate()
            if self._process.returncode == 0:
                report = msgspec.json.decode(said, type=Report)
            else:
                failed = errors.decode(errors="replace").strip()[-300:] or f"exit status {self._process.returncode}"
        except (OSError, msgspec.DecodeError) as problem:
            failed = type(problem).__name__
        if failed:
            log.error("the audit could not be verified: %s", failed)
        self.last = msgspec.structs.replace(begun, ended=time.time(), report=report, failed=failed)


def main(env: Mapping[str, str]) -> int:
    """Exit status: 0 when there is a report, whatever it says."""
    try:
        settings = ConsoleSettings.from_env(env)
        keys = Keys.open(settings.audit_keys or settings.data / "audit-keys")
        store = Store.open(settings.database)
        try:
            with store.reading() as conn:
                report = verify(conn, keys, settings.audit_heads)
        finally:
            asyncio.run(store.close())
    except (SettingsError, StoreDown) as problem:
        sys.stderr.write(str(problem))
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
