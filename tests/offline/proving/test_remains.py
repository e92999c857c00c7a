"""What a proof leaves: nothing; and of what others have mounted in a folder of ours nothing is deleted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cellar_offline.proving import remains

from tests.ui.lab import wait_until
from tools import mounts


@pytest.fixture
def borrowed(tmp_path: Path) -> Iterator[Path]:
    """A folder in which somebody's own folder, with a file in it, is mounted twice."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").touch()
    folder = tmp_path / "a folder"
    (folder / "proc").mkdir(parents=True)
    for _ in range(2):
        done = subprocess.run(["mount", "--bind", mine, folder / "proc"], capture_output=True)
        if done.returncode != 0:
            pytest.skip("nothing can be mounted here")
    yield folder
    while folder.is_dir() and mounts.mounted_in(folder):
        subprocess.run(["umount", "-l", folder / "proc"], check=True)


@pytest.mark.parametrize("remove", [remains.remove, mounts.remove_tree])
def test_what_is_mounted_in_a_folder_is_not_deleted_with_it(borrowed: Path, remove: object) -> None:
    assert remains.mounts(borrowed) == mounts.mounted_in(borrowed) == [str(borrowed / "proc")] * 2
    assert callable(remove) and remove(borrowed)
    assert not borrowed.exists()
    assert (borrowed.parent / "mine" / "precious").is_file()


@pytest.mark.parametrize("remove", [remains.remove, mounts.remove_tree])
def test_a_folder_in_which_something_stays_mounted_stays(
    borrowed: Path, remove: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", lambda *_, **__: None)
        assert callable(remove) and not remove(borrowed)
    assert (borrowed / "proc" / "precious").is_file()


ENGINE = "import sys, time; print('ready', flush=True); time.sleep(600)"


def test_the_next_proof_ends_the_engine_of_one_that_was_killed_and_none_that_is_at_work(tmp_path: Path) -> None:
    killed = tmp_path / f"{remains.PREFIX}killed"
    killed.mkdir()
    (killed / remains.LOCK).touch()
    command = [sys.executable, "-c", ENGINE, f"--data-root={killed}/data"]
    engine = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert engine.stdout is not None and engine.stdout.readline()
    (killed / remains.PID).write_text(str(engine.pid))
    with remains.workplace(tmp_path) as first:
        assert engine.wait(10) != 0
        assert not killed.exists()
        (first / remains.PID).write_text(str(os.getpid()))
        with remains.workplace(tmp_path) as second:
            assert first.is_dir() and second != first
    engine.stdout.close()
    assert list(tmp_path.iterdir()) == []


SHIM = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {ENGINE!r}]).pid, flush=True); input()"


def test_the_next_proof_ends_the_containers_of_an_engine_that_was_killed_itself(tmp_path: Path) -> None:
    killed = tmp_path / f"{remains.PREFIX}killed"
    killed.mkdir()
    (killed / remains.LOCK).touch()
    command = [sys.executable, "-c", SHIM, "-address", f"{killed}/exec/containerd/containerd.sock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shim:
        assert shim.stdout is not None
        container = int(shim.stdout.readline())
        assert remains._lives(container)
        remains.sweep(killed)
        assert shim.wait(10) != 0
    wait_until(lambda: not remains._lives(container), "the container's end")
    assert not killed.exists()


def test_a_number_that_is_another_programs_by_now_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / f"{remains.PREFIX}old"
    folder.mkdir()
    (folder / remains.LOCK).touch()
    (folder / remains.PID).write_text(str(os.getpid()))
    remains.sweep(folder)
    assert not folder.exists()
