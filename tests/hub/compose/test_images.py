"""The Dockerfiles: nothing is fetched while they are built, nobody is root, and nothing that installs stays."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import images

FOLDERS = sorted(path.parent for path in images.IMAGES.glob("*/Dockerfile"))
WITH_WHEELS = [folder for folder in FOLDERS if folder.name not in images.WITHOUT_WHEELS]


def text(folder: Path) -> str:
    return (folder / "Dockerfile").read_text()


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_each_is_built_by_its_name() -> None:
    assert {folder.name for folder in FOLDERS} == {*images.NAMES, images.OVERLAYS, images.ROUTER, images.PROVE}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_base_image_is_a_build_argument_and_what_it_lacks_is_installed(folder: Path) -> None:
    found = text(folder)
    assert re.findall(r"(?m)^FROM (\S+)", found)[0] == "${BASE_IMAGE}"
    assert set(re.findall(r"(?m)^FROM (\S+)", found)[1:]) <= {"base"}
    assert "RUN sh /tmp/complete.sh /tmp/packages.txt" in found


@pytest.mark.parametrize(
    ("python", "installed"),
    [("exit 1", "python3 python3-venv less"), ("exit 0", "less")],
    ids=["a base without Python", "a base with a Python of its own"],
)
def test_only_what_a_base_image_lacks_is_installed(tmp_path: Path, python: str, installed: str) -> None:
    program(tmp_path, "dpkg", '[ "$2" = git ]')
    program(tmp_path, "python3", python)
    program(tmp_path, "apt-get", 'echo "$@"')
    program(tmp_path, "rm", "exit 0")
    (tmp_path / "packages.txt").write_text("python3\npython3-venv\ngit\nless\n")
    command = ["/bin/sh", str(images.COMPLETE), str(tmp_path / "packages.txt")]
    done = subprocess.run(command, env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["update -qq", f"install -y -qq --no-install-recommends {installed}"]


def test_nothing_is_installed_into_a_base_image_that_has_everything(tmp_path: Path) -> None:
    program(tmp_path, "dpkg", "exit 0")
    program(tmp_path, "apt-get", "exit 1")
    (tmp_path / "packages.txt").write_text("git\nless\n")
    command = ["/bin/sh", str(images.COMPLETE), str(tmp_path / "packages.txt")]
    assert subprocess.run(command, env={"PATH": f"{tmp_path}:/bin:/usr/bin"}).returncode == 0


@pytest.mark.parametrize("folder", WITH_WHEELS, ids=lambda folder: folder.name)
def test_the_wheelhouse_is_a_build_argument(folder: Path) -> None:
    assert "COPY ${WHEELHOUSE} /wheelhouse" in text(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_pip_asks_no_index_while_an_image_is_built(folder: Path) -> None:
    steps = re.findall(r"pip install [^\n]*", text(folder))
    own = [step for step in steps if "/tmp/own/" in step and "--no-deps" in step]
    assert [step for step in steps if "--no-index" not in step and step not in own] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_nobody_is_root_in_a_container(folder: Path) -> None:
    last = re.findall(r"(?m)^USER (\d+):(\d+)$", text(folder))[-1]
    assert all(int(number) >= 1000 for number in last)


@pytest.mark.parametrize("name", ["hub", "model", "router"])
def test_the_services_images_keep_no_package_installer(name: str) -> None:
    assert "pip uninstall -q -y pip setuptools" in text(images.IMAGES / name)


def test_the_proxys_lock_file_is_complete_and_names_no_registry() -> None:
    lock = json.loads((images.IMAGES / "hub" / "package-lock.json").read_text())
    packages = [entry for path, entry in lock["packages"].items() if path]
    assert len(packages) > 20
    assert all("integrity" in entry and "resolved" not in entry for entry in packages)


def test_the_hub_and_its_workspaces_have_jupyterhubs_same_major_version() -> None:
    wanted = [
        next(Requirement(line) for line in images.requirements(name) if line.startswith("jupyterhub>"))
        for name in ("hub", "workspace")
    ]
    assert wanted[0].specifier == wanted[1].specifier


def test_a_workspace_has_the_whole_data_stack_and_the_floors_of_the_advisories() -> None:
    found = {Requirement(line).name: Requirement(line) for line in images.requirements("workspace")}
    assert {"numpy", "pandas", "pyarrow", "matplotlib", "scikit-learn"} <= set(found)
    for name, too_old in (("jupyterlab", "4.6.1"), ("nbconvert", "7.17.0")):
        lines = [Requirement(line) for line in images.requirements("workspace") if Requirement(line).name == name]
        assert not all(line.specifier.contains(too_old) for line in lines)


def test_a_change_of_the_hub_leaves_the_workspaces_image_current() -> None:
    """Their inputs are told apart: users' images are not made anew because the gateway changed."""
    assert not any(path.startswith("hub_config") for path in images.SOURCES["workspace"])


def test_jupyterlab_in_a_workspace_asks_nobody_outside_and_its_sanitizer_is_locked() -> None:
    folder = images.IMAGES / "workspace"
    config = (folder / "jupyter_server_config.py").read_text()
    assert "c.LabApp.news_url = None" in config
    assert 'c.LabApp.extension_manager = "readonly"' in config
    overrides = json.loads((folder / "overrides.json").read_text())
    assert overrides["@jupyterlab/apputils-extension:sanitizer"]["allowCommandLinker"] is False
    assert overrides["@jupyterlab/apputils-extension:notification"] == {"fetchNews": "false", "checkForUpdates": False}
    locked = json.loads((folder / "page_config.json").read_text())["lockedExtensions"]
    assert locked["@jupyterlab/apputils-extension:sanitizer"] is True
