"""Whose files lie in a user's volume: of the user who is there now, or of an earlier one of the same name.

Design note. A name is free as soon as its user is removed, and the volume is kept for a while. What tells two people of
one name apart is when the hub made its user: it stands on each volume as a label from the start, and is the same for as
long as the user is there. A volume with another label, or with none, opens to a user whom an administrator said it
belongs to (`cellar_homes`), and to nobody else. So nothing has to be noted when a user goes, whatever removes them; and
a database that was lost, or is older than the volumes, opens nothing either. Volumes that were made before they had
that label belong to the users who were there when this table was made.
"""

from __future__ import annotations

import asyncio
import datetime
from typing import Literal

import docker
from docker.errors import APIError, DockerException, NotFound
from jupyterhub import orm
from requests.exceptions import RequestException
from sqlalchemy import Column, MetaData, String, Table, delete, insert, inspect, select
from sqlalchemy.orm import Session

from cellar_hub.reconnecting import note_written
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.names import OWNER, Names

Files = Literal["none", "theirs", "earlier", "unknown"]
"""There is no volume; it is the user's of this name; it is not; Docker does not say."""
PATIENCE = 10  # seconds
OURS = MetaData()
HOMES = Table(
    "cellar_homes",
    OURS,
    Column("name", String(255), primary_key=True),
    Column("person", String(40), nullable=False),  # when the hub made the user
    Column("owner", String(40), nullable=False),  # the label of the volume that is theirs; empty: it has none
)
USERS = orm.User.__table__
_IS_THERE = "cellar_homes"


class InUse(Exception):
    """A container has the volume."""


class Homes:
    """The session is the hub's own. Raises DockerException and RequestException where Docker is asked."""

    def __init__(self, db: Session, settings: HubSettings) -> None:
        self._db = db
        self._settings = settings
        self._docker: docker.APIClient | None = None
        if not db.info.get(_IS_THERE):
            self._make_table()
            db.info[_IS_THERE] = True

    def person(self, name: str) -> str:
        """What tells this user from others of that name; empty when there is none."""
        made: datetime.datetime | None = self._db.execute(select(USERS.c.created).where(USERS.c.name == name)).scalar()
        return made.isoformat() if made else ""

    def may_have(self, name: str, owner: str) -> bool:
        """Whether a volume with that label is the user's."""
        person = self.person(name)
        if not person or owner == person:
            return bool(person)
        row = self._db.execute(select(HOMES.c.person, HOMES.c.owner).where(HOMES.c.name == name)).first()
        return row is not None and (row.person, row.owner) == (person, owner)

    async def files(self, name: str) -> Files:
        try:
            owner = await asyncio.to_thread(self._owner, name)
        except NotFound:
            return "none"
        except (DockerException, RequestException):
            return "unknown"
        return "theirs" if self.may_have(name, owner) else "earlier"

    async def give(self, name: str) -> None:
        """The files that are there are the user's. Raises NotFound, too."""
        owner = await asyncio.to_thread(self._owner, name)
        self.forget(name)
        self._db.execute(insert(HOMES).values(name=name, person=self.person(name), owner=owner))
        note_written(self._db)
        self._db.commit()

    async def remove(self, name: str) -> None:
        """The volume, whoever's it was. Raises InUse."""
        try:
            await asyncio.to_thread(lambda: self._client().remove_volume(self._volume(name)))
        except NotFound:
            return
        except APIError as error:
            if error.status_code == 409:
                raise InUse from None
            raise

    def forget(self, name: str) -> None:
        """What an administrator said of it."""
        self._db.execute(delete(HOMES).where(HOMES.c.name == name))
        note_written(self._db)
        self._db.commit()

    def _owner(self, name: str) -> str:
        labels = self._client().inspect_volume(self._volume(name)).get("Labels") or {}
        return str(labels.get(OWNER, ""))

    def _volume(self, name: str) -> str:
        return Names(self._settings.site, name).own

    def _client(self) -> docker.APIClient:
        if self._docker is None:
            self._docker = docker.APIClient(self._settings.docker, version="auto", timeout=PATIENCE)
        return self._docker

    def _make_table(self) -> None:
        """Where there is none yet, with whoever is there: they have the volumes of their names already. Both or
        neither, whatever ends this process: an empty one would keep everybody from their files."""
        engine = self._db.get_bind().engine
        if inspect(engine).has_table(HOMES.name):
            return
        with engine.begin() as tx:
            if tx.dialect.name == "sqlite":
                tx.exec_driver_sql("BEGIN IMMEDIATE")  # Python's driver begins nothing before CREATE TABLE
            OURS.create_all(tx, checkfirst=True)
            there = tx.execute(select(USERS.c.name, USERS.c.created).where(USERS.c.created.is_not(None)))
            rows = [{"name": name, "person": made.isoformat(), "owner": ""} for name, made in there]
            if rows:
                tx.execute(insert(HOMES), rows)
