"""What a backup says of itself, and whether this release can restore it. Pure.

A backup is a tar archive that any tar reads. Its first member tells the format; its last one is the manifest, with a
SHA-256 of each member in order, so that a backup that was cut off or damaged is noticed before anything is touched. In
between:

    machine/...                  .env and the other files that stand beside the compose files; the site's folder
    postgres/NAME.dump           what pg_dump wrote (custom format)
    volumes/NAME/...             a volume of the hub or a gateway; an SQLite database as its own online backup copied it
    workspaces/NAME.tar/NNNNNNNN a user's volume: a tar archive in pieces, to be put together in order
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import PurePosixPath

import msgspec

FORMAT = 1
BEGIN = "cellar-backup.json"
END = "manifest.json"
MACHINE, POSTGRES, VOLUMES, WORKSPACES = "machine/", "postgres/", "volumes/", "workspaces/"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}", re.ASCII)
"""Of a volume, a site, a compose file, a database."""


class Refused(Exception):
    """Why something is not done, for a person."""


class Beginning(msgspec.Struct):
    format: int
    cellar: str  # version


class Workspace(msgspec.Struct):
    """A user's volume and the labels it is made with."""

    volume: str
    labels: dict[str, str]


class Manifest(msgspec.Struct, kw_only=True):
    format: int = FORMAT
    cellar: str  # versions
    jupyterhub: str
    at: str  # UTC, ISO 8601
    site: str
    compose: list[str]  # names of the compose files
    databases: list[str]  # those in the stack's PostgreSQL
    elsewhere: bool = False  # databases are on a server of the site's own, and in no backup
    volumes: list[str]
    external: list[str] = []  # those of them whose names do not begin with the site's
    workspaces: list[Workspace] = []
    conversations: bool = False
    encrypted: bool = False
    members: dict[str, str]  # SHA-256 by name, in the order of the file


def beginning() -> bytes:
    return msgspec.json.encode(Beginning(FORMAT, version("jupyter-cellar")))


def check_beginning(content: bytes) -> None:
    """Raises Refused for what is no backup, and for one of a newer release, by name."""
    try:
        found = msgspec.json.decode(content, type=Beginning)
    except msgspec.DecodeError:
        raise Refused("this is no backup of Cellar Hub") from None
    ours = version("jupyter-cellar")
    if found.format > FORMAT or _numbers(found.cellar) > _numbers(ours):
        raise Refused(f"this backup is of Cellar {found.cellar}, which is newer than this one, {ours}: upgrade first")


def parse_manifest(content: bytes) -> Manifest:
    """Raises Refused, also for names that could mean something else to a shell or a file system."""
    try:
        found = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise Refused(f"its manifest cannot be read: {error}") from None
    ours = version("jupyterhub")
    if _numbers(found.jupyterhub)[:1] > _numbers(ours)[:1]:
        raise Refused(f"its database is JupyterHub {found.jupyterhub}'s, and this is {ours}: upgrade first")
    check_names(found)
    return found


def check_names(found: Manifest) -> None:
    """Also before a backup is written: one that nobody can restore is none. Raises Refused."""
    names = [
        found.site,
        *found.compose,
        *found.databases,
        *found.volumes,
        *found.external,
        *(each.volume for each in found.workspaces),
    ]
    if strange := next((name for name in names if not NAME.fullmatch(name) or ".." in name), None):
        raise Refused(f"its manifest has a name that cannot be one: {strange!r}")
    if not re.fullmatch(r"[0-9T:.+-]{10,40}", found.at, re.ASCII) or not NAME.fullmatch(found.cellar):
        raise Refused("its manifest tells no time or no version")
    for workspace in found.workspaces:
        if any(not text.isprintable() for pair in workspace.labels.items() for text in pair):
            raise Refused(f"its manifest has a label of {workspace.volume} that cannot be one")


def check_path(name: str) -> str:
    """The name of a member as it is, where it stays below the folder that it is unpacked into. Raises Refused."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise Refused(f"it has a file that would be written elsewhere: {name!r}")
    return name


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", text)[:3])
