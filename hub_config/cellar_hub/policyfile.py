"""The policy file of a running process, read again when it changes. A broken one changes nothing but log and metric."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from cellar.settings import SettingsError

from cellar_hub.policy import NO_POLICY, Policy, parse_policy

LOOK_EVERY = 1.0
MAX_BYTES = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class PolicyFile:
    """`current()` is cheap: the file's times are looked at once a second. Raises `SettingsError` only when made."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = time.monotonic()
        self.ok = True
        self._policy = NO_POLICY
        if path is not None:
            self._seen = _stamp(path)
            self._policy = _read(path)

    def current(self) -> Policy:
        if self._path is not None and time.monotonic() - self._looked_at > LOOK_EVERY:
            self._looked_at = time.monotonic()
            self._look(self._path)
        return self._policy

    def _look(self, path: Path) -> None:
        seen = _stamp(path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._policy = _read(path)
        except SettingsError as problem:
            self.ok = False
            log.error("the policy stays as it was: %s", problem)
        else:
            self.ok = True
            log.info("the policy was read again")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> Policy:
    name = f"CELLAR_POLICY ({path})"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise SettingsError(name, "is too large")
        if not data.strip():  # a full disk or an editor at work, and not the wish to lift every limit
            raise SettingsError(name, "is empty; one that sets no limits has the line [default]")
        return parse_policy(data.decode(), name)
    except OSError as problem:
        raise SettingsError(name, f"cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(name, "is not UTF-8") from None
