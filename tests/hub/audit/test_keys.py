"""The ring of keys: private, made once, rotated without losing what was signed before."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cellar.settings import SettingsError
from cellar_hub.audit import Keys
from cellar_hub.audit.keys import UnknownKey

from tests.hub.audit.books import Books


def test_the_first_start_makes_a_private_ring_and_the_next_ones_use_it(tmp_path: Path) -> None:
    ring = tmp_path / "new" / "ring.json"
    first = Keys.open(ring)
    assert ring.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in ring.parent.iterdir()] == ["ring.json"]
    assert Keys.open(ring).mac(b"hello") == first.mac(b"hello")


def test_processes_that_start_at_once_share_one_ring(tmp_path: Path) -> None:
    program = "import sys, pathlib, cellar_hub.audit as a; print(a.Keys.open(pathlib.Path(sys.argv[1])).current)"
    command = [sys.executable, "-c", program, str(tmp_path / "ring.json")]
    starting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({child.communicate()[0] for child in starting}) == 1
    assert [child.returncode for child in starting] == [0, 0, 0, 0]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_ring_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    Keys.open(tmp_path / "ring.json")
    os.chmod(tmp_path / "ring.json", mode)
    with pytest.raises(SettingsError, match=r"^CELLAR_AUDIT_KEYS .*ring.json, which others may read"):
        Keys.open(tmp_path / "ring.json")


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"current": "a", "keys": {"a": "!"}}', '{"current": "a", "keys": {}}']
)
def test_a_file_that_is_no_ring_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    ring = tmp_path / "ring.json"
    ring.touch(0o600)
    ring.write_text(content)
    with pytest.raises(SettingsError, match="CELLAR_AUDIT_KEYS"):
        Keys.open(ring)
    assert ring.read_text() == content


def test_a_key_that_was_exchanged_under_its_id_is_refused(tmp_path: Path) -> None:
    keys = Keys.open(tmp_path / "ring.json")
    other = Keys.open(tmp_path / "other.json")
    text = (tmp_path / "other.json").read_text().replace(other.current, keys.current)
    (tmp_path / "ring.json").write_text(text)
    with pytest.raises(SettingsError, match="a key has been changed"):
        Keys.open(tmp_path / "ring.json")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="CELLAR_AUDIT_KEYS"):
        Keys.open(tmp_path / "file" / "ring.json")


async def test_rows_of_old_keys_still_verify_after_a_rotation(books: Books, tmp_path: Path) -> None:
    await books.requests(1, 2)
    ring = tmp_path / "keys" / "ring.json"
    before = books.keys.current
    rotated = Keys.rotate(ring)
    assert rotated.current != before and set(rotated.ids) == {before, rotated.current}
    assert ring.stat().st_mode & 0o777 == 0o600
    again = await Books.open(books.store, tmp_path)
    await again.requests(3, 4)
    again.write_head()
    assert again.log.head().key_id == rotated.current
    assert (await again.verify()).ok


async def test_without_the_old_key_its_rows_are_told_once(books: Books, tmp_path: Path) -> None:
    await books.requests(1, 5)
    Keys.rotate(tmp_path / "keys" / "ring.json")
    again = await Books.open(books.store, tmp_path)
    await again.requests(6, 7)
    again.write_head()
    only_new = Keys(again.keys.current, {again.keys.current: again.keys._secrets[again.keys.current]})
    report = await again.verify(keys=only_new)
    assert [(problem.code, problem.seq) for problem in report.problems] == [("unknown_key", 1)]
    assert report.chains[0].more_problems == 9


def test_a_mac_is_keyed_and_of_its_purpose(tmp_path: Path) -> None:
    keys, other = Keys.open(tmp_path / "a.json"), Keys.open(tmp_path / "b.json")
    mac = keys.mac("안녕".encode())
    key_id, _, digest = mac.partition(":")
    assert key_id == keys.current and len(digest) == 64
    assert mac == keys.mac("안녕".encode()) != other.mac("안녕".encode())
    assert hashlib.sha256("안녕".encode()).hexdigest() not in mac
    assert keys.holds("text", "안녕".encode(), key_id, digest)
    assert not keys.holds("row", "안녕".encode(), key_id, digest)
    with pytest.raises(UnknownKey):
        other.holds("text", b"", key_id, digest)
