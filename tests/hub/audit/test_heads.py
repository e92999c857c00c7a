"""The second place: written at start, every so often and at the end; it stops no request when it fails."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cellar.settings import SettingsError
from cellar_hub.audit import Heads, Keys
from cellar_hub.audit.heads import read_heads

from tests.hub.audit.books import Books


async def until(condition: Callable[[], bool]) -> None:
    """A file has no event to wait for."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def known(books: Books) -> list[int]:
    if not books.heads.path.exists():
        return []
    return list(read_heads(books.heads.path, books.keys).heads.get("gateway-1", {}))


async def test_heads_are_written_at_start_then_every_so_often_and_when_it_ends(books: Books) -> None:
    await books.requests(1, 1)
    keeping = asyncio.create_task(books.heads.keep([books.log], every=0.01))
    await until(lambda: known(books) == [2])
    await books.requests(2, 2)
    await until(lambda: known(books)[-1:] == [4])
    keeping.cancel()
    await asyncio.wait([keeping])
    await books.requests(3, 3)
    ending = asyncio.create_task(books.heads.keep([books.log], every=1000))
    await until(lambda: known(books)[-1:] == [6])
    await books.requests(4, 4)
    ending.cancel()
    await asyncio.wait([ending])
    assert known(books)[-1] == 8
    assert (await books.verify()).ok


async def test_a_head_that_did_not_move_is_written_once(books: Books) -> None:
    await books.requests(1, 1)
    for _ in range(5):
        books.write_head()
    assert len(books.heads.path.read_bytes().splitlines()) == 1
    assert books.heads.path.stat().st_mode & 0o777 == 0o600


async def test_a_second_place_that_fails_is_told_and_tried_again(
    books: Books, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await books.requests(1, 1)
    gone = tmp_path / "volume"
    heads = Heads(gone / "heads.jsonl", books.keys)
    keeping = asyncio.create_task(heads.keep([books.log], every=0.01))
    await until(lambda: heads.failing is not None)
    assert "cannot be written" in caplog.text
    gone.mkdir()
    await until(lambda: heads.failing is None and heads.path.exists())
    keeping.cancel()
    await asyncio.wait([keeping])
    assert list(read_heads(heads.path, books.keys).heads) == ["gateway-1"]


@pytest.mark.parametrize("kind", ["udp", "unix"])
async def test_syslog_hears_of_each_head(books: Books, tmp_path: Path, kind: str) -> None:
    server = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.settimeout(10)
        server.bind(str(tmp_path / "log") if kind == "unix" else ("127.0.0.1", 0))
        address = str(tmp_path / "log") if kind == "unix" else f"127.0.0.1:{server.getsockname()[1]}"
        await books.requests(1, 1)
        Heads(tmp_path / "h", books.keys, address).write(books.log.head())
        said = server.recv(4096)
    assert b"cellar-audit: " in said
    assert (tmp_path / "h").read_bytes().strip() in said


async def test_a_syslog_that_is_not_there_is_told(books: Books, tmp_path: Path) -> None:
    heads = Heads(tmp_path / "h", books.keys, str(tmp_path / "nobody"))
    with pytest.raises(OSError):
        heads.write(books.log.head())
    assert heads.failing is not None


@pytest.mark.parametrize("syslog", ["nowhere", "host:", "host:x", ":514", "host:99999"])
def test_a_syslog_that_is_no_address_is_refused_by_name(tmp_path: Path, syslog: str) -> None:
    with pytest.raises(SettingsError, match="CELLAR_AUDIT_SYSLOG"):
        Heads(tmp_path / "h", Keys.open(tmp_path / "ring.json"), syslog)


async def test_a_line_torn_by_a_power_cut_spoils_no_later_one(books: Books) -> None:
    await books.requests(1, 1)
    books.write_head()
    whole = books.heads.path.read_bytes()
    books.heads.path.write_bytes(whole + whole[:50])
    assert (await books.verify()).ok
    await books.requests(2, 2)
    books.write_head()
    found = read_heads(books.heads.path, books.keys)
    assert list(found.heads["gateway-1"]) == [2, 4]
    assert found.problems == ["line 2 of heads.jsonl is damaged"]


APPENDER = """
import sys
from collections.abc import Callable
from pathlib import Path
from cellar_hub.audit import Head, Heads, Keys
heads = Heads(Path(sys.argv[1]), Keys.open(Path(sys.argv[2])))
for seq in range(1, 101):
    heads.write(Head(sys.argv[3], seq, "mac", "key", 1.0))
"""


def test_processes_may_share_the_file(tmp_path: Path) -> None:
    keys = Keys.open(tmp_path / "ring.json")
    paths = [str(tmp_path / "heads"), str(tmp_path / "ring.json")]
    children = [subprocess.Popen([sys.executable, "-c", APPENDER, *paths, name]) for name in ("a", "b", "c")]
    assert [child.wait() for child in children] == [0, 0, 0]
    known = read_heads(tmp_path / "heads", keys)
    assert known.problems == []
    assert {name: len(heads) for name, heads in known.heads.items()} == {"a": 100, "b": 100, "c": 100}
