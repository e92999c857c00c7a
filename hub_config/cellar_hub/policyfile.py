"""The policy file of a running process, read again when it changes. A broken one changes nothing but log and metric."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cellar.settings import SettingsError

from cellar_hub.policy import NO_POLICY, Policy, parse_policy
from cellar_hub.watchedfile import WatchedFile, read_text


class Read(NamedTuple):
    policy: Policy
    text: str


class PolicyFile:
    """`current()` is cheap. Raises `SettingsError` only when made. `told`, if set, is called with the text that counted
    before (empty at first) and the one that counts now, as soon as somebody asks."""

    told: Callable[[str, str], object] | None = None

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else WatchedFile(path, read_policy, "the policy")
        self._text = ""

    @property
    def ok(self) -> bool:
        return self._file is None or self._file.ok

    def current(self) -> Policy:
        return NO_POLICY if self._file is None else self._told(self._file.current())

    def look(self) -> None:
        """Now, and not within a second."""
        if self._file is not None:
            self._file.look()
            self._told(self._file.value)

    def _told(self, now: Read) -> Policy:
        if self.told is not None and now.text is not self._text:
            before, self._text = self._text, now.text
            self.told(before, now.text)
        return now.policy


def read_policy(path: Path) -> Read:
    """Raises `SettingsError`."""
    name = f"CELLAR_POLICY ({path})"
    text = read_text(path, name)
    return Read(check_text(text, name), text)


def check_text(text: str, name: str) -> Policy:
    """What a policy file holds. Raises `SettingsError` that begins with `name`."""
    if not text.strip():  # a full disk or an editor at work, and not the wish to lift every limit
        raise SettingsError(name, "is empty; one that sets no limits has the line [default]")
    return parse_policy(text, name)
