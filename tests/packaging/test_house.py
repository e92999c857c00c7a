"""The house keeps its own rules: the map is true, versions agree, nothing of one machine stands in the files."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.packaging.settings import PAGE, page

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def rooms_on_the_map() -> list[str]:
    """The folders in the first column of ARCHITECTURE.md's table "The rooms"."""
    section = ARCHITECTURE.split("## The rooms", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([^`]+?)/?` \|", section, re.MULTILINE)


def test_every_folder_on_the_map_exists() -> None:
    assert len(rooms_on_the_map()) > 8
    assert [room for room in rooms_on_the_map() if not (ROOT / room).exists()] == []


def test_every_python_package_is_on_the_map() -> None:
    rooms = rooms_on_the_map()
    inits = [p for p in tracked_files() if p.name == "__init__.py" and "tests" not in p.relative_to(ROOT).parts]
    packages = [p.parent.relative_to(ROOT).as_posix() for p in inits]
    assert [name for name in packages if not any(name == room or name.startswith(room + "/") for room in rooms)] == []


def test_every_folder_of_the_lab_extensions_source_is_on_the_map() -> None:
    rooms = rooms_on_the_map()
    folders = [p for p in (ROOT / "labextension" / "src").iterdir() if p.is_dir() and p.name != "__tests__"]
    assert [f.name for f in folders if f.relative_to(ROOT).as_posix() not in rooms] == []


def test_every_file_that_architecture_names_exists() -> None:
    named = re.findall(r"`((?:jupyter_ext|labextension|offline|tools|tests|examples|bench)/[\w./@-]+)`", ARCHITECTURE)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_python_and_npm_say_the_same_version() -> None:
    package = json.loads((ROOT / "labextension" / "package.json").read_text())
    assert package["version"] == PROJECT["project"]["version"]


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog or f"## [{PROJECT['project']['version']}]" in changelog


@pytest.mark.parametrize("block", ["dependencies", "test", "dev"])
def test_every_dependency_has_its_reason_beside_it(block: str) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    lines = text.split(f"\n{block} = [", 1)[1].split("\n]", 1)[0].splitlines()
    wanted = [line for line in lines if line.strip().startswith('"') and "jupyter-cellar[" not in line]
    assert [line.strip() for line in wanted if "#" not in line] == []


def test_every_setting_is_described_on_the_page_of_settings() -> None:
    assert PAGE.read_text() == page(), "python -m tests.packaging.settings"


def test_the_lock_file_holds_no_address_of_a_registry() -> None:
    lock = (ROOT / "labextension" / "yarn.lock").read_text()
    assert re.findall(r"https?://[^\s\"]+", lock) == []


def test_no_file_holds_a_path_of_the_machine_it_was_written_on() -> None:
    suspicious = re.compile(rb"(?<![\w.])/(work/(main|shared)|root/[a-z.]|home/[a-z]+/(src|git|dev))\b")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.suffix not in (".cjs", ".png") and suspicious.search(path.read_bytes())
    ]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.name)
def test_a_workflow_is_valid_yaml_with_jobs_and_limits(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["jobs"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 30
        assert all("uses" in step or "run" in step for step in job["steps"])


def test_the_ci_script_calls_the_command_of_the_readme() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]+)", (ROOT / "README.md").read_text())) <= targets
