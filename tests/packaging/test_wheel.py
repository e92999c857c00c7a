"""`pip install WHEEL` into a clean environment gives panel, server extension and magics, with no Node anywhere."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.packaging.wheel import build_wheel, installed, run, without_node
from tools import frontend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# Names of the environment's distributions that are reached from `root`, as "jupyterlab,httpx,...".
CLOSURE = """
import importlib.metadata as m, re, sys
from packaging.requirements import Requirement
def canonical(name): return re.sub(r"[-_.]+", "-", name).lower()
seen, todo = set(), [sys.argv[1]]
while todo:
    name = canonical(todo.pop())
    if name in seen: continue
    seen.add(name)
    for line in m.requires(name) or []:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": ""}): todo.append(need.name)
print(",".join(sorted(seen)))
"""


@pytest.fixture(scope="module")
def wheel() -> Path:
    if complaint := frontend.staleness():
        frontend.build()
        assert not frontend.staleness(), complaint
    return build_wheel()


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    return installed(wheel)


def test_the_wheel_carries_panel_switch_catalogues_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    data = re.compile(r"^jupyter_cellar-[^/]+\.data/data/(.*)$")
    shared = [match.group(1) for name in names if (match := data.match(name))]
    assert "share/jupyter/labextensions/@cellar/lab/package.json" in shared
    assert any(re.search(r"@cellar/lab/static/remoteEntry\.\w+\.js$", name) for name in shared)
    assert any(name.startswith("etc/jupyter/jupyter_server_config.d/") for name in shared)
    assert {"cellar/py.typed", "cellar_jupyter/py.typed"} <= set(names)
    assert any(name.startswith("cellar_jupyter/locale/ko_KR/") for name in names)


def test_the_wheel_carries_nothing_of_the_workshop(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strangers = [n for n in names if re.search(r"(^|/)(tests?|tools|node_modules|bench|\.source-hash)(/|$)", n)]
    assert strangers == []


def test_jupyterlab_finds_the_lab_extension(python: Path) -> None:
    listed = run(python.parent / "jupyter", "labextension", "list", env=without_node(python))
    assert re.search(r"@cellar/lab v\S+ \S*enabled\S* \S*OK", listed), listed


def test_jupyter_server_enables_the_server_extension(python: Path) -> None:
    listed = run(python.parent / "jupyter", "server", "extension", "list", env=without_node(python))
    assert re.search(r"cellar_jupyter \S*enabled", listed), listed
    assert re.search(r"cellar_jupyter \S* \S*OK", listed), listed


def test_the_magics_load_in_ipython(python: Path, tmp_path: Path) -> None:
    env = {**without_node(python), "IPYTHONDIR": str(tmp_path)}
    run(python, "-m", "IPython", "-c", "%load_ext cellar_jupyter\n%ai help", env=env)


def test_there_is_no_node_in_that_environment(python: Path) -> None:
    assert shutil.which("node", path=without_node(python)["PATH"]) is None


def test_at_most_eight_packages_come_over_plain_jupyterlab(python: Path) -> None:
    ours = set(run(python, "-c", CLOSURE, "jupyter-cellar").strip().split(","))
    plain = set(run(python, "-c", CLOSURE, "jupyterlab").strip().split(","))
    assert len(ours - plain) <= 8, sorted(ours - plain)
