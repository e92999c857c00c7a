"""The policy file of a running process, read again when it changes. A broken one changes nothing but log and metric."""

from __future__ import annotations

from pathlib import Path

from cellar.settings import SettingsError

from cellar_hub.policy import NO_POLICY, Policy, parse_policy
from cellar_hub.watchedfile import WatchedFile, read_text


class PolicyFile:
    """`current()` is cheap. Raises `SettingsError` only when made."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else WatchedFile(path, read_policy, "the policy")

    @property
    def ok(self) -> bool:
        return self._file is None or self._file.ok

    def current(self) -> Policy:
        return NO_POLICY if self._file is None else self._file.current()

    def look(self) -> None:
        """Now, and not within a second."""
        if self._file is not None:
            self._file.look()


def read_policy(path: Path) -> Policy:
    """Raises `SettingsError`."""
    name = f"CELLAR_POLICY ({path})"
    return check_text(read_text(path, name), name)


def check_text(text: str, name: str) -> Policy:
    """What a policy file holds. Raises `SettingsError` that begins with `name`."""
    if not text.strip():  # a full disk or an editor at work, and not the wish to lift every limit
        raise SettingsError(name, "is empty; one that sets no limits has the line [default]")
    return parse_policy(text, name)
