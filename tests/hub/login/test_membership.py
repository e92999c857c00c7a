"""What is told of groups that a directory changes; test_ldap.py has it in a real audit."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from cellar_hub.login.membership import LONGEST, Membership, Said, lines
from jupyterhub import orm
from sqlalchemy.orm import Session


@pytest.fixture
def db() -> Iterator[Session]:
    found: Session = orm.new_session_factory("sqlite:///:memory:")()
    yield found
    found.close()


def test_what_a_commit_has_changed_is_told_and_nothing_else(db: Session) -> None:
    told: list[tuple[str, Said]] = []
    Membership(db, lambda *what: told.append(what), logging.getLogger())
    ann, staff, night = orm.User(name="ann"), orm.Group(name="staff"), orm.Group(name="night")
    db.add_all([ann, staff, night])
    db.commit()
    assert told == []
    ann.groups = [night, staff]
    db.flush()
    assert told == [], "nobody has it yet"
    db.commit()
    ann.groups = [night]
    db.flush()
    db.rollback()
    ann.groups, ann.admin = list(ann.groups), True
    db.commit()
    assert told == [("ann", (("joined", "night, staff"),))]
    ann.groups = [staff, orm.Group(name="day")]
    db.commit()
    assert told[1:] == [("ann", (("joined", "day"), ("left", "night")))]


def test_more_names_than_the_audit_keeps_of_one_value_are_told_one_after_another(db: Session) -> None:
    names = [f"group-{number:03}" for number in range(60)] + ["x" * LONGEST]
    found = list(lines(names))
    assert ", ".join(found).split(", ") == names and max(map(len, found)) <= LONGEST
    told: list[tuple[str, Said]] = []
    Membership(db, lambda *what: told.append(what), logging.getLogger())
    db.add(orm.User(name="ann", groups=[orm.Group(name=name) for name in names]))
    db.commit()
    assert told == [("ann", (("joined", line),)) for line in found]
