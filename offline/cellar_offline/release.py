"""Where releases lie at the target, and which of them is the current one.

    ROOT/releases/ID/...                 the files of a bundle, as its manifest names them; read-only
    ROOT/releases/ID/.cellar/manifest.json, signature.json, before
    ROOT/releases/.loading-ID/           the same while it is being loaded
    ROOT/current -> releases/ID          the one switch; replaced by a rename
    ROOT/keys/bundle.pub                 the signer's key, pinned at the first load
    ROOT/keys/site, site.pub             this site's own key, made at the first load: it signs reports
    ROOT/site/                           settings of this site, which outlive releases (`site.py`)

`before` is the id of the release that was current when this one became it: where `rollback` leads.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cellar_offline import signature
from cellar_offline.chunks import sync_folder
from cellar_offline.manifest import NAME, BadManifest, Manifest, parse

DEFAULT = Path("/opt/cellar")
OWN = ".cellar"
LOADING = ".loading-"


class Unusable(Exception):
    """What was asked for cannot be done; the message is for a person."""


@dataclass(frozen=True)
class Release:
    """A loaded bundle. `signer` is a fingerprint; "" when it was loaded unsigned."""

    path: Path
    manifest: Manifest
    signer: str

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def signed_by(self) -> str:
        return self.signer or "NOBODY (loaded with --allow-unsigned)"

    def before(self) -> str:
        """The id of the release that was current before this one; "" for none."""
        try:
            return (self.path / OWN / "before").read_text().strip()
        except FileNotFoundError:
            return ""


class Root:
    """The folder of all that at one target."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.releases = self.path / "releases"
        self.keys = self.path / "keys"
        self.site = self.path / "site"
        self.pinned = self.keys / "bundle.pub"
        self.site_key = self.keys / "site"
        self.lock: tuple[int, ...] = ()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One at a time may change it; the lock goes with the process, however that ends, and with the programs that
        were given `lock`: what a killed one has begun may still be at work. Unusable."""
        self.releases.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Unusable(
                    f"Another cellar-offline is at work in {self.path}, or what a killed one began. Wait for its end."
                ) from None
            self.lock = (file.fileno(),)
            try:
                yield
            finally:
                self.lock = ()

    def find(self, id: str) -> Release | None:
        """A loaded release. Unusable when its record is damaged."""
        path = self.releases / id
        if not path.is_dir():
            return None
        try:
            manifest = parse((path / OWN / NAME).read_bytes())
            signed = json.loads((path / OWN / "signature.json").read_text())
        except (OSError, ValueError, BadManifest) as error:
            raise Unusable(f"The record of the release in {path} is damaged: {error}. Load its bundle again.") from None
        return Release(path, manifest, str(signed["signer"]))

    def current(self) -> Release | None:
        try:
            return self.find(os.path.basename(os.readlink(self.path / "current")))
        except OSError:
            return None

    def require(self) -> Release:
        """The current release. Unusable when there is none."""
        found = self.current()
        if found is None:
            raise Unusable(f"There is no release in {self.path}. First: load --from FOLDER --key FILE")
        return found

    def all(self) -> list[Release]:
        """Loaded releases; the newest build last. Unusable."""
        names = [each.name for each in self.releases.glob("[0-9a-f]*") if each.is_dir()]
        found = [release for release in map(self.find, names) if release is not None]
        return sorted(found, key=lambda each: (each.manifest.built, each.id))

    def loading(self, id: str) -> Path:
        return self.releases / f"{LOADING}{id}"

    def switch(self, release: Release) -> None:
        """Make it the current one: before and after any cut there is one whole current release."""
        old = self.current()
        if old is not None and old.id != release.id:
            write(release.path / OWN / "before", (old.id + "\n").encode())
        self._point(release.id)

    def back(self) -> Release:
        """Make the release before the current one current again. Unusable."""
        now = self.require()
        id = now.before()
        release = self.find(id) if id else None
        if release is None:
            raise Unusable(f"There is no release before {now.manifest.title} to go back to.")
        self._point(release.id)
        return release

    def _point(self, id: str) -> None:
        unfinished = self.path / ".current.part"
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(Path("releases") / id)
        unfinished.replace(self.path / "current")
        sync_folder(self.path)

    def remove(self, release: Release) -> None:
        """Its files; images are the engine's. Unusable for the current one and the one before it."""
        now = self.current()
        if now is not None and release.id in (now.id, now.before()):
            raise Unusable(f"{release.manifest.title} is the current release, or the one to go back to.")
        going = self.releases / f".removing-{release.id}"
        release.path.rename(going)
        shutil.rmtree(going)

    def expected_key(self, named: Path | None) -> str:
        """The key that a bundle must be signed with: the one that was named, which must be the pinned one where one is
        pinned. Unusable, signature.BadSignature."""
        pinned = signature.read_key(self.pinned) if self.pinned.is_file() else ""
        if named is None:
            if not pinned:
                raise Unusable(
                    "Say whose signature is expected: --key FILE, the public key of who made the bundle. Compare its "
                    "fingerprint (ssh-keygen -lf FILE) with the one that they sent you by another way than the bundle. "
                    "The first load remembers it. A bundle for tests that nobody signed: --allow-unsigned"
                )
            return pinned
        key = signature.read_key(named)
        if pinned and key != pinned:
            raise Unusable(
                f"This site expects bundles signed by {signature.fingerprint(pinned)}, and {named} is "
                f"{signature.fingerprint(key)}. If the maker has a new key and has told you so by another way: "
                f"remove {self.pinned}, and name the new one again."
            )
        return key

    def make_keys(self, key: str) -> None:
        """Pin the signer's (where there is one), and make the site's own. signature.NoOpenSSH."""
        self.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        if key and not self.pinned.is_file():
            write(self.pinned, (key + "\n").encode())
        if not self.site_key.is_file():
            made = self.keys / ".site.part"
            for each in (made, made.with_name(made.name + ".pub")):
                each.unlink(missing_ok=True)
            signature.make_key(made)
            made.with_name(made.name + ".pub").replace(self.keys / "site.pub")
            made.replace(self.site_key)


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Whole or not at all, and on the disk."""
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)
