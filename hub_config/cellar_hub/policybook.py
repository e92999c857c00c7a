"""The policy file as several administrators may change it at once: nobody's change is lost without a word, and what was
there before is kept.

    book = PolicyBook(path)
    seen = book.read()
    book.save(change(seen.text, SetField(...)), based_on=seen.id, by="ann")

Whoever saves says on which revision they looked; if it is another one by now, that is a `Conflict` and changes nothing.
The file is written beside itself, on the disk, and then takes the old one's place: a full disk or a kill leaves the old
one. The last revisions lie in a folder beside it, `NAME.history`, one file each. That of the change under way is there
first, as `next.json`, and gets its number after the policy has taken its place: so what the history says was in effect
was so, whatever ends this process in between. An editor may change the file, too: that is a revision by nobody. A file
that is gone or no text is brought back by saving over `GONE`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from cellar.settings import SettingsError

from cellar_hub.policy import Policy, read_toml
from cellar_hub.policyfile import check_text
from cellar_hub.watchedfile import MAX_BYTES, read_text

KEPT = 200
LONGEST_NAME = 255
NEXT = "next.json"
GONE = "gone"
"""Where an `id` would stand: there is no revision now, the file is not there or is no text."""


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """`id`: of the text. `at`: seconds of the epoch. `by`: whom the page knows; empty: changed outside of this."""

    text: str
    id: str
    at: float
    by: str = ""


class Conflict(Exception):
    """Somebody else has saved meanwhile. `now`: what is there."""

    def __init__(self, now: Revision) -> None:
        super().__init__(f"the policy was changed meanwhile by {now.by or 'somebody'}")
        self.now = now


class PolicyBook:
    """Of one file; any number of processes may have one. `check` raises `SettingsError` for a policy that this site
    cannot have, though its text is right. Blocks for a disk's time: it belongs on a thread."""

    def __init__(self, path: Path | None, check: Callable[[Policy], object] = lambda policy: None) -> None:
        self._given = path
        self._check = check

    @property
    def path(self) -> Path:
        """The file itself, and not a link to it. Raises `SettingsError` when there is none."""
        if self._given is None:
            raise SettingsError("CELLAR_POLICY", "is not set")
        return Path(os.path.realpath(self._given))

    @property
    def writable(self) -> str:
        """Empty, or one sentence that says why nothing can be saved."""
        if self._given is None:
            return "CELLAR_POLICY is not set, so there is no policy file to change."
        if not self.path.is_file():
            return f"The policy file {self._given} is not there."
        return self._closed

    @property
    def is_lost(self) -> bool:
        """Whether there is no revision now, and one may be put there."""
        return self._given is not None and not self._closed and self._there() is None

    @property
    def _closed(self) -> str:
        """Why nothing can be written beside the file; empty when it can."""
        folder = self.path.parent
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return f"The policy file {self._given} is managed elsewhere: its folder is mounted read-only here."
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"The policy file {self._given} is managed elsewhere: its folder may not be written to from here."
        return ""

    def read(self) -> Revision:
        """What is there now. Raises `SettingsError`."""
        text = read_text(self.path, self._name)
        found = id_of(text)
        for each in (self._record(NEXT), self._record(self._numbers()[-1:])):
            if each is not None and each.id == found:
                return each
        return Revision(text=text, id=found, at=self.path.stat().st_mtime)

    def _there(self) -> Revision | None:
        try:
            return self.read()
        except SettingsError:
            return None

    def save(self, text: str, *, based_on: str, by: str) -> Revision:
        """What is there then. `based_on`: an `id`, or `GONE`. Raises `Conflict`, and `SettingsError` for a text that is
        no policy and for a file that cannot be written; the file is then as it was."""
        if why := self._closed if based_on == GONE and self._given else self.writable:
            raise SettingsError(self._name, f"cannot be saved. {why}")
        with self._writing():
            self._finish()
            now = self._seen(based_on)
            if len(_bytes(text, self._name)) > MAX_BYTES:
                raise SettingsError(self._name, "is too large")
            self._check(check_text(text, self._name))
            if now is not None:
                if id_of(text) == now.id:
                    return now
                last = self._record(self._numbers()[-1:])
                if last is None or last.id != now.id:
                    self._keep(now)
                    self._number_next()
            found = Revision(text=text, id=id_of(text), at=time.time(), by=by[:LONGEST_NAME])
            self._keep(found)
            try:
                self._replace(text, based_on)
            except (OSError, SettingsError, Conflict):
                self._part.unlink(missing_ok=True)
                raise
            self._number_next()
        return found

    def compared(self, text: str) -> dict[str, str | int]:
        """With what is there now."""
        now = self._there()
        return compared(now.text if now else "", text)

    def wrote(self, text: str) -> bool:
        """Whether a page has saved it, and nothing came after: else an editor has, or whatever a site has."""
        found = id_of(text)
        for each in (self._record(NEXT), self._record(self._numbers()[-1:])):
            if each is not None and each.id == found and each.by:
                return True
        return False

    def history(self) -> list[Revision]:
        """The newest first; that is what is there now."""
        found = [each for number in reversed(self._numbers()) if (each := self._record([number])) is not None]
        now = self._there()
        return found if now is None or (found and found[0].id == now.id) else [now, *found][:KEPT]

    def _seen(self, based_on: str) -> Revision | None:
        """What is there now, None for `GONE`. Raises `Conflict` when it is not that, and `SettingsError`."""
        now = self._there() if based_on == GONE else self.read()
        if now is not None and now.id != based_on:
            raise Conflict(now)
        return now

    # -- the file

    @property
    def _name(self) -> str:
        return f"CELLAR_POLICY ({self._given})"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One at a time, in all processes. An `OSError` becomes a `SettingsError`."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with open(self._folder / "lock", "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as problem:
            raise SettingsError(self._name, f"cannot be written: {problem.strerror}") from None

    @property
    def _part(self) -> Path:
        return self.path.with_name(f".{self.path.name}.part")

    def _replace(self, text: str, instead_of: str) -> None:
        """An editor knows no lock, and a disk takes its time: the last look is just before the old file goes."""
        is_there = self.path.exists()
        old = (self.path if is_there else self.path.parent).stat()
        with open(self._part, "wb", opener=_open_private) as file:
            mine = os.fstat(file.fileno())
            if (mine.st_uid, mine.st_gid) != (old.st_uid, old.st_gid):
                with contextlib.suppress(PermissionError):  # who may not give it away keeps it
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode) if is_there else 0o644)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self._seen(instead_of)
        os.replace(self._part, self.path)
        _sync(self.path.parent)

    # -- the history

    @property
    def _folder(self) -> Path:
        return self.path.with_name(f"{self.path.name}.history")

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdecimal() and len(stem) < 10)

    def _record(self, which: str | list[int]) -> Revision | None:
        """None when there is none, or none that can be read."""
        if not which:
            return None
        name = which if isinstance(which, str) else f"{which[0]:08}.json"
        try:
            return msgspec.json.decode((self._folder / name).read_bytes(), type=Revision)
        except (OSError, msgspec.DecodeError):
            return None

    def _keep(self, revision: Revision) -> None:
        with open(self._folder / NEXT, "wb", opener=_open_private) as file:
            file.write(msgspec.json.encode(revision))
            file.flush()
            os.fsync(file.fileno())

    def _number_next(self) -> None:
        numbers = self._numbers()
        os.replace(self._folder / NEXT, self._folder / f"{(numbers[-1] if numbers else 0) + 1:08}.json")
        _sync(self._folder)
        for number in numbers[: max(0, len(numbers) + 1 - KEPT)]:
            (self._folder / f"{number:08}.json").unlink(missing_ok=True)

    def _finish(self) -> None:
        """What a process that was killed has left: a change that took place is numbered, another one never was."""
        left = self._record(NEXT)
        now = self._there() if left is not None else None
        if left is not None and now is not None and left.id == now.id:
            self._number_next()
        else:
            (self._folder / NEXT).unlink(missing_ok=True)


def id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def compared(before: str, after: str) -> dict[str, str | int]:
    """For the audit, of two texts: SHA-256 of both (nothing of an empty one), as `sha256sum` says it of the file, and
    the names of fields that differ; `more`: how many further ones. Values are in the history, names of people here.
    Pure."""
    old, new = _fields(before), _fields(after)
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    shown = 0
    while shown < len(names) and len(", ".join(names[: shown + 1])) <= LONGEST_NAME:
        shown += 1
    said: dict[str, str | int] = {"sha256_before": _sha256(before), "sha256": _sha256(after)}
    said["fields"] = ", ".join(names[:shown])
    if shown < len(names):
        said["more"] = len(names) - shown
    return {name: what for name, what in said.items() if what}


def _fields(text: str) -> dict[str, Any]:
    """By the names of the tables in which they are. Of what is no TOML, nothing."""
    found: dict[str, Any] = {}

    def add(tables: dict[str, Any], within: str) -> None:
        for key, value in tables.items():
            if isinstance(value, dict) and value:
                add(value, f"{within}{key}.")
            else:
                found[within + key] = value

    with contextlib.suppress(SettingsError):
        add(read_toml(text, ""), "")
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


def _bytes(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SettingsError(name, "is not UTF-8") from None


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
