"""What is in a backup, that it can be read again, and that a broken one is noticed before anything is touched."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cellar_hub.backup import archive, manifest, packing, sealing
from cellar_hub.backup.archive import Writer, check
from cellar_hub.backup.copies import copy_database
from cellar_hub.backup.manifest import Manifest, Refused
from cellar_hub.backup.packing import WHOLE, begin, keep, pack

from tests.hub.backup.a_site import SETTINGS, ASite, step, tar, untar


def members(path: Path) -> dict[str, bytes]:
    return untar(path.read_bytes())


def test_everything_that_a_site_is_made_of_is_in_it(site: ASite, backup: Path) -> None:
    site.backup(backup)
    found = members(backup)
    assert found["machine/env"].decode() == SETTINGS
    assert {name for name in found if "/" in name} == {
        "machine/env",
        "machine/site/policy.toml",
        "volumes/audit-heads/heads",
        "volumes/gateway-data/audit-keys",
        "volumes/gateway-data/cellar.db",
        "volumes/hub-data/jupyterhub.sqlite",
        "volumes/hub-data/jupyterhub_cookie_secret",
    }


def test_the_manifest_knows_each_member_and_says_of_what_release_and_when(site: ASite, backup: Path) -> None:
    told = site.backup(backup)
    found = members(backup)
    kept = json.loads(found.pop("manifest.json"))
    assert kept["members"] == {name: hashlib.sha256(content).hexdigest() for name, content in found.items()} | {
        name: digest
        for name, digest in kept["members"].items()
        if name not in found  # folders
    }
    assert (kept["cellar"], kept["site"], kept["at"]) == (told.cellar, "cellar", told.at)
    assert next(iter(kept["members"])) == "cellar-backup.json"


def test_a_good_one_passes_and_says_what_it_has(site: ASite, backup: Path) -> None:
    site.add_home()
    site.backup(backup)
    done = step("check", stdin=backup.read_bytes())
    assert done.returncode == 0, done.stderr
    assert "NOT encrypted" in done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    assert {"site cellar", "compose docker-compose.yml", "volume hub-data", "workspace cellar-ws-ada"} <= set(lines)
    assert "label org.cellar.user=ada" in lines


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def cut_before_the_manifest(content: bytes) -> bytes:
    return content[: content.rindex(b"manifest.json") - content.rindex(b"manifest.json") % 512]


def flip(content: bytes) -> bytes:
    at = content.index(b"CELLAR_SITE=cellar")
    return content[:at] + b"K" + content[at + 1 :]


def not_one(_content: bytes) -> bytes:
    return tar({"hello": b"world"}).getvalue()


@pytest.mark.parametrize("spoil", [cut, cut_before_the_manifest, flip, not_one, lambda _: b"hello", lambda _: b""])
def test_a_damaged_one_is_refused(site: ASite, backup: Path, spoil: Callable[[bytes], bytes]) -> None:
    site.backup(backup)
    spoiled = spoil(backup.read_bytes())
    with pytest.raises(Refused):
        check(io.BytesIO(spoiled))
    done = step("check", stdin=spoiled)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"cellar-hub: ")


def one_with(name: str, content: bytes = b"x") -> io.BytesIO:
    out = io.BytesIO()
    writer = Writer(out)
    writer.content(name, content)
    more = {"cellar": "0.1.0", "jupyterhub": "6.1.1", "at": "2026-11-29T10:00:00+00:00", "site": "cellar"}
    volumes = [name.split("/")[1]] if name.startswith("volumes/") else []
    writer.close(Manifest(compose=[], databases=[], volumes=volumes, members={}, **more))  # type: ignore[arg-type]
    out.seek(0)
    return out


@pytest.mark.parametrize(
    "name",
    [
        "volumes/hub-data/../../etc/passwd",
        "/etc/passwd",
        "machine/../../x",
        "volumes/../x",
        "elsewhere/x",
        "machine/..",
    ],
)
def test_a_member_that_would_be_written_elsewhere_is_refused(name: str) -> None:
    assert check(one_with("machine/env")).site == "cellar"
    with pytest.raises(Refused):
        check(one_with(name))


def test_a_backup_of_a_newer_release_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made = one_with("machine/env")
    monkeypatch.setattr(manifest, "version", lambda name: {"jupyter-cellar": "0.0.9"}.get(name, "6.1.1"))
    with pytest.raises(Refused, match=r"of Cellar 0\.1\.0, which is newer than this one, 0\.0\.9"):
        check(made)


def test_a_database_of_a_newer_jupyterhub_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made = one_with("machine/env")
    monkeypatch.setattr(manifest, "version", lambda name: {"jupyterhub": "5.5.0"}.get(name, "0.1.0"))
    with pytest.raises(Refused, match=r"JupyterHub 6\.1\.1's, and this is 5\.5\.0"):
        check(made)


@pytest.mark.parametrize(
    "change", [{"site": "x; rm -rf /"}, {"compose": ["../x.yml"]}, {"volumes": ["-v"]}, {"at": "now\nsite other"}]
)
def test_names_that_a_shell_could_mistake_are_refused(change: dict[str, object]) -> None:
    good: dict[str, object] = {
        "format": 1,
        "cellar": "0.1.0",
        "jupyterhub": "6.1.1",
        "at": "2026-11-29T10:00:00+00:00",
        "site": "cellar",
        "compose": [],
        "databases": [],
        "volumes": [],
        "members": {},
    }
    assert manifest.parse_manifest(json.dumps(good).encode()).site == "cellar"
    with pytest.raises(Refused):
        manifest.parse_manifest(json.dumps(good | change).encode())


def test_what_could_not_be_restored_is_no_backup(site: ASite, backup: Path) -> None:
    """A compose file of the administrator's own, with a name that restoring refuses."""
    site.compose = ["docker-compose.yml", "my own.yml"]
    with pytest.raises(Refused, match=r"'my own\.yml'"):
        site.backup(backup)


# --- databases while they are written to


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_database_is_copied_at_one_moment_while_it_is_written_to(tmp_path: Path, mode: str) -> None:
    """Two tables that change together are never seen apart."""
    path, stop, began = tmp_path / "live.db", threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as live:
            n = 0
            while not stop.is_set():
                n += 1
                with live:
                    live.execute("INSERT INTO a VALUES (?, ?)", (n, "x" * 500))
                    live.execute("INSERT INTO b VALUES (?)", (n,))
                if n == 50:
                    began.set()

    with closing(sqlite3.connect(path)) as live:
        live.execute(f"PRAGMA journal_mode={mode}")
        live.execute("CREATE TABLE a (n INTEGER, text TEXT)")
        live.execute("CREATE TABLE b (n INTEGER)")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert began.wait(30)
        counts = []
        for number in range(5):
            copy = tmp_path / f"copy{number}.db"
            copy_database(path, copy)
            assert not copy.with_name(f"{copy.name}-wal").exists()
            with closing(sqlite3.connect(copy)) as out:
                counts.append(out.execute("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)").fetchone())
    finally:
        stop.set()
        writer.join()
    assert all(a == b >= 50 for a, b in counts)


def test_a_damaged_database_is_no_backup(site: ASite, backup: Path) -> None:
    path = site.volumes / "hub-data" / "jupyterhub.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"jupyterhub\.sqlite could not be copied"):
        site.backup(backup)
    assert not list((site.volumes / "hub-data").glob(".cellar-backup*"))


def test_no_copy_is_left_and_none_of_an_earlier_one_is_taken_along(site: ASite, backup: Path) -> None:
    left = site.volumes / "gateway-data" / ".cellar-backup.dead"
    left.mkdir()
    (left / "cellar.db").write_text("half")
    (site.volumes / "gateway-data" / ".cellar-restore").mkdir()
    (site.volumes / "gateway-data" / ".cellar-restore" / "x").write_text("x")
    site.backup(backup)
    assert not [name for name in members(backup) if ".cellar" in name]
    assert [each.name for each in (site.volumes / "gateway-data").glob(".cellar-backup*")] == [left.name]


def test_heads_are_never_newer_than_the_rows_in_the_same_backup(site: ASite, backup: Path) -> None:
    site.backup(backup)
    names = [name for name in members(backup) if name.startswith("volumes/")]
    order = [names.index(f"volumes/{name}") for name in ("audit-heads/heads", "gateway-data/cellar.db")]
    keys = names.index("volumes/gateway-data/audit-keys")
    assert order == sorted(order) and order[-1] < keys


def test_what_the_second_place_hears_after_the_dumps_is_not_in_it(site: ASite, backup: Path) -> None:
    """A dump is of an earlier moment than the files: heads of later rows would call the restored audit cut."""
    known = (site.volumes / "audit-heads" / "heads").read_bytes()
    begin(site.volumes, site.spool)
    site.ask(4, 9)
    (site.volumes / "audit-heads" / "another").write_text("x")
    site.pack(backup)
    found = members(backup)
    assert found["volumes/audit-heads/heads"] == known
    assert found["volumes/audit-heads/another"] == b""


def test_nothing_that_stands_beside_env_is_left_out_in_silence(site: ASite, backup: Path, tmp_path: Path) -> None:
    """Two names of one file are what tar calls a link; a pipe has no content."""
    files = tmp_path / "machine"
    files.mkdir()
    (files / "env").write_text(SETTINGS)
    os.link(files / "env", files / "same")
    os.mkfifo(files / "pipe")
    begin(site.volumes, site.spool)
    for name in ("same", "pipe"):
        machine = subprocess.run(["tar", "-chf", "-", "-C", str(files), "env", name], capture_output=True, check=True)
        with pytest.raises(Refused, match=f"(env|{name}), which stands beside .env, is no file"):
            pack(
                io.BytesIO(),
                io.BytesIO(machine.stdout),
                site.volumes,
                site.homes,
                site.spool,
                conversations=False,
                sealed=False,
            )


def test_a_file_that_goes_while_it_is_read_is_no_reason_for_no_backup(
    site: ASite, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock, a file that was written beside another."""
    fleeting = site.volumes / "hub-data" / "untold-logins.part"
    fleeting.write_text("x")
    real = packing.walk

    def walk(root: Path) -> list[Path]:
        found = list(real(root))
        if root.name == "hub-data":
            fleeting.unlink()
        return found

    monkeypatch.setattr(packing, "walk", walk)
    site.backup(backup)
    assert "volumes/hub-data/jupyterhub.sqlite" in members(backup)


def test_words_are_not_abbreviated() -> None:
    """The script mounts no workspace for --vol; then the step must not take it for --volumes either."""
    assert step("plan", "--vol").returncode == 2
    assert step("plan", "--volumes").returncode == 0


def test_databases_that_are_elsewhere_are_told(site: ASite, backup: Path) -> None:
    site.elsewhere = True
    site.backup(backup)
    done = step("check", stdin=backup.read_bytes())
    assert "elsewhere yes" in done.stdout.decode().splitlines()
    assert "NOT in it: the databases on a server of your own" in done.stderr.decode()


def test_a_dump_leaves_the_site_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing.copies, "RESERVE", shutil.disk_usage(tmp_path).total + 1)
    with pytest.raises(Refused, match=r"no room for cellar\.dump"):
        keep(io.BytesIO(b"PGDMP" + WHOLE), tmp_path / "spool" / "cellar.dump")


def test_a_dump_that_was_cut_off_is_none(tmp_path: Path) -> None:
    keep(io.BytesIO(b"PGDMP" * 1000 + WHOLE), tmp_path / "spool" / "cellar.dump")
    assert (tmp_path / "spool" / "cellar.dump").read_bytes() == b"PGDMP" * 1000
    assert (tmp_path / "spool" / "cellar.dump").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Refused, match="did not come to its end"):
        keep(io.BytesIO(b"PGDMP" * 1000), tmp_path / "spool" / "half.dump")
    assert not (tmp_path / "spool" / "half.dump").exists()


# --- encryption


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, Path]:
    """A public key, and the file of its private one."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    private = tmp_path / "key.txt"
    private.write_text(f"# made for a test\n{identity}\n")
    return str(identity.to_public()), private


def seal(content: bytes, *recipients: str) -> bytes:
    out = io.BytesIO()
    with sealing.sealed(out, sealing.parse_recipients(recipients)) as file:
        file.write(content)
    return out.getvalue()


def unseal(content: bytes, identity: bytes) -> bytes:
    with sealing.unsealed(io.BytesIO(content), sealing.parse_identities(identity) if identity else []) as file:
        return file.read()


def test_an_encrypted_one_shows_nothing_and_opens_with_the_key_alone(keys: tuple[str, Path]) -> None:
    public, private = keys
    text = b"CELLAR_GATEWAY_TOKEN=0123456789abcdef" * 100_000
    closed = seal(text, public)
    assert b"CELLAR_GATEWAY" not in closed and closed.startswith(sealing.MAGIC)
    assert unseal(closed, private.read_bytes()) == text
    assert unseal(text, b"") == text, "what is not encrypted is read as it is"
    with pytest.raises(Refused, match="--identity"):
        unseal(closed, b"")


def test_another_key_and_a_damaged_end_are_told(keys: tuple[str, Path]) -> None:
    import pyrage

    public, private = keys
    closed = seal(b"x" * 300_000, public)
    with pytest.raises(Refused, match="cannot be decrypted"):
        unseal(closed, str(pyrage.x25519.Identity.generate()).encode())
    for spoiled in (closed[:-10], closed[:-20] + b"\0" * 20):
        with pytest.raises(Refused, match="cannot be decrypted"):
            unseal(spoiled, private.read_bytes())


def test_ssh_keys_are_keys_too(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    closed = seal(b"hello", (tmp_path / "id.pub").read_text().strip())
    assert unseal(closed, (tmp_path / "id").read_bytes()) == b"hello"


@pytest.mark.parametrize("key", ["age1nonsense", "hello", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1AAAA"])
def test_what_is_no_public_key_is_refused_by_name_and_a_private_one_is_not_repeated(key: str) -> None:
    done = step("plan", f"--recipient={key}")
    assert done.returncode == 2
    assert b"--recipient: " in done.stderr
    assert b"SECRET-KEY-1AAAA" not in done.stderr


def test_conversations_are_refused_without_a_key_before_anything_is_written() -> None:
    done = step("pack", "--volumes", "--conversations")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--conversations" in done.stderr and b"--recipient" in done.stderr
    assert step("plan", "--conversations", "--recipient=age1x").returncode == 2


def test_the_writer_keeps_no_member_in_memory() -> None:
    class Nowhere(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            return len(data)  # type: ignore[arg-type]

    import tracemalloc

    writer = Writer(Nowhere())  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        writer.stream("workspaces/a.tar", Zeros(40 * archive.PIECE))  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * archive.PIECE


class Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        found = min(size, self._left)
        self._left -= found
        return bytes(found)


def test_a_tar_of_any_machine_opens_it(site: ASite, backup: Path) -> None:
    site.backup(backup)
    with tarfile.open(backup) as opened:
        assert opened.getmember("volumes/hub-data/jupyterhub_cookie_secret").mode == 0o600
