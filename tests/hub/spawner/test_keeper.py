"""What the keeper removes, and when."""

from __future__ import annotations

from pathlib import Path

import pytest
from cellar_hub.spawner.keeper import DAY, Owned, expired, missed, ownerless, read_missed, write_missed

SERVERS = {("alice", ""), ("bob", "gpu")}


def test_a_container_is_missed_only_when_no_server_has_it_and_it_is_older_than_any_start() -> None:
    found = [
        Owned("a", "alice", "", 999),
        Owned("b", "bob", "", 999),  # bob's default server is not running
        Owned("c", "bob", "gpu", 999),
        Owned("d", "carol", "", 10),  # may be about to start
    ]
    assert ownerless(found, SERVERS, {}, 1000.0, young=240) == {"b": 1000.0}


def test_the_first_look_that_missed_something_counts_and_whoever_is_back_is_forgotten() -> None:
    found = [Owned("b", "bob", "", 999)]
    since = ownerless(found, SERVERS, {"b": 900.0, "gone": 1.0}, 1000.0, young=240)
    assert since == {"b": 900.0}
    assert ownerless(found, {*SERVERS, ("bob", "")}, since, 1060.0, young=240) == {}


def test_a_volume_goes_after_the_whole_grace_of_its_user_being_away() -> None:
    volumes = [Owned("va", "alice"), Owned("vb", "bob")]
    since = missed(volumes, {"bob"}, {}, 0.0)
    assert since == {"va": 0.0}
    assert expired(since, 30 * DAY - 1, 30) == []
    assert expired(missed(volumes, {"bob"}, since, 30 * DAY), 30 * DAY, 30) == ["va"]
    assert missed(volumes, {"alice", "bob"}, since, 30 * DAY) == {}


def test_a_grace_of_nothing_is_for_ever_and_a_clock_that_went_back_does_not_shorten_it() -> None:
    assert expired({"va": 0.0}, 1e12, 0) == []
    assert missed([Owned("va", "alice")], set(), {"va": 5000.0}, 1000.0) == {"va": 1000.0}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": "x"}', '{"a": null}', "\x00"])
def test_a_list_that_cannot_be_read_begins_the_grace_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "volumes.json"
    file.write_text(text)
    assert read_missed(file) == {}
    write_missed(file, {"a": 1.5})
    assert read_missed(file) == {"a": 1.5} and list(tmp_path.iterdir()) == [file]
