"""What is told to the gateway of a change of the hub's database; test_watching.py has it counting there."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest
from cellar_hub.login.rights import LLM, MOST, Rights
from jupyterhub import orm
from sqlalchemy.orm import Session


@pytest.fixture
def db() -> Iterator[Session]:
    found: Session = orm.new_session_factory("sqlite:///:memory:")()
    yield found
    found.close()


@pytest.fixture
def tells(db: Session) -> Callable[[], list[dict[str, Any]]]:
    """What is to be told since one asked last."""
    rights = Rights(db, "http://127.0.0.1:9", "g" * 32, IPv4Network("10.213.0.0/16"), logging.getLogger())
    rights.listen()

    def since() -> list[dict[str, Any]]:
        found = [json.loads(each) for each in rights.due]
        rights.due.clear()
        return found

    return since


def test_groups_rights_and_tokens_are_told_when_they_change_and_nothing_else(
    db: Session, tells: Callable[[], list[dict[str, Any]]]
) -> None:
    ann, bob, staff = orm.User(name="ann"), orm.User(name="bob"), orm.Group(name="staff")
    db.add_all([ann, bob, staff])
    db.commit()
    tells()
    ann.groups = [staff]  # as a directory does it at the log-in
    db.commit()
    assert tells() == [{"user": "ann", "rights": True}]
    staff.users.append(bob)  # as the API does it
    db.flush()
    assert tells() == [], "nobody has it yet"
    db.commit()
    assert tells() == [{"user": "bob", "rights": True}]
    staff.users.remove(ann)
    db.flush()
    db.rollback()
    ann.groups = list(ann.groups)
    ann.cookie_id = "another"
    db.commit()
    assert tells() == []
    bob.admin = True
    db.commit()
    assert tells() == [{"user": "bob", "rights": True}]
    bob.roles.append(orm.Role(name="auditor", scopes=["list:users"]))
    db.commit()
    assert {"user": "bob", "rights": True} in tells()
    db.add_all(orm.OAuthClient(identifier=each) for each in ("jupyterhub", "service-console"))
    for scopes, client in ((["inherit"], "jupyterhub"), ([LLM], "jupyterhub"), (["self"], "service-console")):
        db.add(orm.APIToken(user=ann, scopes=scopes, client_id=client, hashed=f"16:sha512:{scopes}", prefix="abcd"))
    db.commit()
    tells()
    one, _, three = ann.api_tokens
    db.delete(one)
    db.delete(three)
    db.commit()
    assert tells() == [{"token_id": one.api_id}]
    db.delete(staff)
    db.commit()
    assert tells() == [{"user": "ann", "rights": True}, {"user": "bob", "rights": True}]
    db.delete(ann)
    db.commit()
    assert tells() == [{"user": "ann"}], "with all tokens"


def test_a_change_of_very_many_is_told_as_one_of_everybody(
    db: Session, tells: Callable[[], list[dict[str, Any]]]
) -> None:
    staff = orm.Group(name="staff", users=[orm.User(name=f"user{number}") for number in range(MOST + 1)])
    db.add(staff)
    db.commit()
    assert tells() == [{"rights": True}]
    db.expire_all()
    db.delete(staff)
    db.delete(db.query(orm.User).filter_by(name="user1").one())
    db.commit()
    assert tells() == [{"rights": True}, {"user": "user1"}], "whose requests end"
