"""Python packages: locked by hash, wheels alone, for the target; pip is the real one, the index a folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.progress import Steps
from cellar_offline.building.recipe import Wheels
from cellar_offline.building.store import Journal, Store
from cellar_offline.building.wheels import LOCAL, Wheel, gather, pins_of, shown

from tests.offline.building.engine import wheel

PYTHON = "{}.{}.0".format(*sys.version_info)
TAG = "cp{}{}".format(*sys.version_info)


class Index:
    """A folder of packages, and what is gathered from it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "index"
        self.journal = Journal(home / "journal")
        self.store = Store(home / "out", self.journal, 1 << 20, None)
        self.lock = home / "site.lock"

    def gather(self, *requirements: str, files: tuple[Path, ...] = ()) -> list[Wheel]:
        asked = Wheels("workspace", PYTHON, 36, requirements, (), files, self.lock)
        return gather(asked, requirements, "linux/amd64", self.store, self.home / "work", Steps())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    made = Index(tmp_path)
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(made.folder)), ("PIP_CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(name, value)
    wheel(made.folder, "alpha", "1.0", "beta>=2")
    wheel(made.folder, "beta", "2.0", licence="Apache-2.0 OR MIT")
    yield made
    made.journal.close()


def test_what_was_locked_once_is_what_comes_again(index: Index) -> None:
    first = index.gather("alpha")
    assert [(each.package.name, each.package.version, each.package.licence) for each in first] == [
        ("alpha", "1.0", "MIT"),
        ("beta", "2.0", "Apache-2.0 OR MIT"),
    ]
    assert {each.path for each in first} == {
        f"wheels/workspace/{name}-py3-none-any.whl" for name in ("alpha-1.0", "beta-2.0")
    }
    wheel(index.folder, "beta", "3.0")
    again = index.gather("alpha")
    assert [each.blob for each in again] == [each.blob for each in first]
    assert [each.package.version for each in index.gather("beta")] == ["3.0"], "another request is another lock"


def test_a_wheel_with_another_hash_than_its_lock_is_refused(index: Index) -> None:
    index.gather("beta")
    shutil.rmtree(index.home / "work")
    wheel(index.folder, "beta", "2.0", licence="Somebody-Elses")
    with pytest.raises(CannotBuild, match=r"(?i)hash"):
        index.gather("beta")


def test_a_package_that_has_only_sources_is_refused_by_name(index: Index) -> None:
    with tarfile.open(index.folder / "gamma-1.0.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("gamma-1.0/setup.py"))
    with pytest.raises(CannotBuild, match=r"gamma has no wheel.*a source distribution is refused"):
        index.gather("gamma")
    wheel(index.folder, "delta", "1.0", "gamma")
    with pytest.raises(CannotBuild, match="gamma"):
        index.gather("delta")


def test_sources_by_their_address_are_refused_by_name() -> None:
    row = {"metadata": {"name": "gamma", "version": "1"}, "download_info": {"url": "https://a.example/gamma-1.tar.gz"}}
    with pytest.raises(CannotBuild, match="gamma 1 has no wheel"):
        pins_of({"install": [row]})


def test_a_wheel_for_another_machine_or_python_is_not_taken(index: Index) -> None:
    wheel(index.folder, "native", "1.0", tag=f"{TAG}-{TAG}-manylinux_2_28_aarch64")
    wheel(index.folder, "newer", "1.0", tag=f"{TAG}-{TAG}-manylinux_2_40_x86_64")
    for name in ("native", "newer"):
        with pytest.raises(CannotBuild, match=name):
            index.gather(name)
    wheel(index.folder, "native", "1.0", tag=f"{TAG}-{TAG}-manylinux_2_28_x86_64")
    assert [each.package.name for each in index.gather("native")] == ["native"]


def test_a_wheel_that_was_made_here_comes_with_what_it_needs(index: Index) -> None:
    made = wheel(index.home / "dist", "ours", "0.1", "alpha")
    found = index.gather(files=(index.home / "dist" / "*.whl",))
    assert [each.package.name for each in found] == ["alpha", "beta", "ours"]
    assert found[-1].blob.sha256 == hashlib.sha256(made.read_bytes()).hexdigest()
    assert found[-1].source == LOCAL
    with pytest.raises(CannotBuild, match=r"There is no .*none-\*\.whl"):
        index.gather(files=(index.home / "dist" / "none-*.whl",))


def test_a_lock_that_is_none_is_named_with_its_line(index: Index) -> None:
    index.gather("alpha")
    head = index.lock.read_text().splitlines()[0]
    index.lock.write_text(f"{head}\nalpha>=1\n")
    with pytest.raises(CannotBuild, match=r"site\.lock, line 2"):
        index.gather("alpha")


def test_wheels_for_another_python_need_that_python(index: Index) -> None:
    asked = Wheels("workspace", "3.9.0", 36, ("alpha",))
    with pytest.raises(CannotBuild, match=re.escape("python3.9")):
        gather(asked, ["alpha"], "linux/amd64", index.store, index.home / "work", Steps())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://ann:secret@a.example/x/alpha.whl?token=1#sha256=2", "https://a.example/x/alpha.whl"),
        ("file:///home/ann/alpha.whl", LOCAL),
    ],
)
def test_papers_name_no_password_and_no_folder(url: str, told: str) -> None:
    assert shown(url) == told
