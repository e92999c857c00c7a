"""The volumes of a site without Docker: what a hub and a gateway keep, and users' homes, as folders."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellar_hub.audit import AuditLog, Heads, Keys
from cellar_hub.backup import staging
from cellar_hub.backup.archive import check
from cellar_hub.backup.manifest import Manifest
from cellar_hub.backup.packing import begin, pack
from cellar_hub.store import Store
from jupyterhub import orm
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.hub.audit.books import opened, settled

ADA = "cellar-ws-ada"
SETTINGS = "CELLAR_SITE=cellar\nCELLAR_GATEWAY_TOKEN=0123456789abcdef\n"


@dataclass
class ASite:
    """`folder` is what the steps of a backup see below /backup."""

    folder: Path
    workspaces: list[str] = field(default_factory=list)
    databases: list[str] = field(default_factory=list)
    compose: list[str] = field(default_factory=lambda: ["docker-compose.yml"])
    elsewhere: bool = False
    second_place: Path | None = None  # another one than the volume
    files: dict[str, bytes] = field(
        default_factory=lambda: {"./env": SETTINGS.encode(), "./site/policy.toml": b"[default]\n"}
    )
    """Of the machine."""

    @property
    def volumes(self) -> Path:
        return self.folder / "volumes"

    @property
    def homes(self) -> Path:
        return self.folder / "workspaces"

    @property
    def books(self) -> str:
        return f"sqlite:///{self.volumes / 'gateway-data' / 'cellar.db'}"

    @property
    def env(self) -> dict[str, str]:
        """Of a gateway."""
        return {
            "CELLAR_DATA": str(self.volumes / "gateway-data"),
            "CELLAR_AUDIT_HEADS": str((self.second_place or self.volumes / "audit-heads") / "heads"),
            "CELLAR_OPERATOR": "kim",
            "CELLAR_BACKUP_AT": "2026-11-29T10:00:00+00:00",
        }

    def make(self) -> ASite:
        for name in ("hub-data", "gateway-data", "audit-heads"):
            (self.volumes / name).mkdir(parents=True)
        self.homes.mkdir()
        hub = self.volumes / "hub-data"
        (hub / "jupyterhub_cookie_secret").write_text("00" * 32)
        (hub / "jupyterhub_cookie_secret").chmod(0o600)
        engine = create_engine(f"sqlite:///{hub / 'jupyterhub.sqlite'}")
        orm.Base.metadata.create_all(engine)
        with Session(engine) as session:
            user = orm.User(name="ada")
            session.add(user)
            session.commit()
        engine.dispose()
        self.ask(1, 3)
        return self

    def add_home(self, name: str = ADA) -> Path:
        home = self.homes / name
        home.mkdir(mode=0o750)
        self.workspaces.append(name)
        return home

    def ask(self, first: int, last: int, *, chain: str = "gateway-1", head: bool = True) -> None:
        """Requests in the audit; with `head` the second place hears of them."""
        keys = Keys.open(self.volumes / "gateway-data" / "audit-keys")

        async def fill(store: Store) -> None:
            log = await store.write(lambda tx: AuditLog.open(tx, chain, keys))
            for n in range(first, last + 1):
                for row in (opened(n), settled(n)):
                    await store.write(lambda tx, row=row: log.append(tx, row))
            if head:
                Heads(Path(self.env["CELLAR_AUDIT_HEADS"]), keys).write(log.head())
            await store.close()

        asyncio.run(fill(Store.open(self.books)))

    def machine(self) -> io.BytesIO:
        """What the script tells of the machine."""
        labels = {"org.cellar.site": "cellar", "org.cellar.kind": "workspace", "org.cellar.user": "ada"}
        about = {
            "site": "cellar",
            "compose": self.compose,
            "databases": self.databases,
            "elsewhere": self.elsewhere,
            "workspaces": [{"volume": name, "labels": labels} for name in self.workspaces],
        }
        return tar(self.files | {"./about.json": json_of(about)})

    @property
    def spool(self) -> Path:
        return self.volumes / "gateway-data" / ".cellar-backup.dumps"

    def backup(self, target: Path, *, conversations: bool = False) -> Manifest:
        begin(self.volumes, self.spool)
        try:
            return self.pack(target, conversations=conversations)
        finally:
            shutil.rmtree(self.spool)

    def pack(self, target: Path, *, conversations: bool = False) -> Manifest:
        """What comes after `begin` and the dumps."""
        with target.open("wb") as out:
            how = {"conversations": conversations, "sealed": False}
            return pack(out, self.machine(), self.volumes, self.homes, self.spool, **how)

    def lose(self) -> None:
        """Everything: its volumes and users' homes are empty, as on a new machine."""
        for volume in staging.all_volumes(self.volumes, self.homes):
            shutil.rmtree(volume)
            volume.mkdir()

    def stage(self, backup: Path) -> dict[str, bytes]:
        """The machine's files."""
        out = io.BytesIO()
        with backup.open("rb") as source:
            check(source)
        with backup.open("rb") as source:
            staging.stage(source, out, self.volumes, self.homes)
        return untar(out.getvalue())

    def each(self, step: Any) -> None:
        for volume in staging.all_volumes(self.volumes, self.homes):
            step(volume)

    def restore(self, backup: Path) -> None:
        """Up to the moment at which services may start; `each(staging.finish)` is left."""
        self.stage(backup)
        self.each(staging.switch)
        self.each(staging.ready)

    def tree(self) -> dict[str, Any]:
        """Everything there is: kind, mode, owner, content or where a link leads."""
        return {path.relative_to(self.folder).as_posix(): _seen(path) for path in sorted(self.folder.rglob("*"))}


def _seen(path: Path) -> Any:
    status = path.lstat()
    what: object = None
    if path.is_symlink():
        what = os.readlink(path)
    elif path.is_file():
        what = path.read_bytes()
    return oct(status.st_mode), status.st_uid, status.st_gid, what


def tar(files: Mapping[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


def untar(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = ((member, archive.extractfile(member)) for member in archive)
        return {member.name: file.read() for member, file in files if file is not None}


def json_of(value: object) -> bytes:
    return json.dumps(value).encode()


def step(*words: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    """A step as the script runs it."""
    command = [sys.executable, "-m", "cellar_hub.backup", *words]
    return subprocess.run(command, input=stdin, capture_output=True, env=os.environ | env)
