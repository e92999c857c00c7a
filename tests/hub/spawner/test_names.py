"""Names of containers, networks and volumes from whatever a user is called."""

from __future__ import annotations

import itertools
import re

import pytest
from cellar_hub.spawner.names import KIND, SERVICE, SITE, Names, is_ours, slug

HOSTILE = [
    "김철수", "..", ".", "../../etc", "a/b", "a\\b", "a:b", "-a", "a-", "a--b", "A", "a_b", "a.b", "a b", "a\nb",
    "a\x00b", "x" * 255, "x" * 254 + "y", "가" * 255, "é", "é", "\ud800", "{username}", "%2e%2e", "$(id)",
    "ws", "user", "🙂", "", "alice---0123456789abcdef0123", "a" * 28, "a" * 29,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_becomes_a_plain_short_one(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,43}", slug(name))
    names = Names("cellar", name, "team")
    assert re.fullmatch(r"cellar-ws-[a-z0-9-]{1,100}", names.own)
    assert len(names.hostname) <= 63


def test_a_plain_name_stays_readable() -> None:
    assert Names("cellar", "alice-2").own == "cellar-ws-alice-2"
    assert Names("cellar", "alice", "gpu").own == "cellar-ws-alice--gpu"


def test_no_two_users_and_servers_share_a_name() -> None:
    users = [*HOSTILE, "alice", "Alice", "alice-b", "b", "ALICE", "alice--b"]
    servers = ["", "b", "B", "-b", "b-c", "..", "-0123456789abcdef0123"]
    pairs = list(itertools.product(dict.fromkeys(users), servers))
    assert len({Names("cellar", user, server).own for user, server in pairs}) == len(pairs)


def test_only_what_carries_this_sites_labels_is_ours() -> None:
    labels = Names("cellar", "alice").labels()
    assert is_ours(labels, "cellar")
    assert not is_ours(labels, "cellar-test")
    assert not is_ours({SITE: "cellar"}, "cellar")
    assert not is_ours({SITE: "cellar", KIND: "workspace", SERVICE: "hub"}, "cellar")
    assert not is_ours(None, "cellar")
