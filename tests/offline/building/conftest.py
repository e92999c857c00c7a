"""A folder where somebody builds bundles: an engine, a key, weights, a recipe; and the command as it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cellar_offline.manifest import Manifest, parse
from cellar_offline.signature import make_key

from tests.offline.building.engine import BOTH, NEW, OLD, FakeEngine, layer, noise, safetensors, wheel

ROOT = Path(__file__).resolve().parents[3]
DPKG = b"""Package: libfoo
Status: install ok installed
Version: 1.2-3

Package: gone
Status: deinstall ok config-files
"""
METADATA = b"Metadata-Version: 2.4\nName: Inner_Lib\nVersion: 4.5\nLicense-Expression: BSD-3-Clause\n"
PIP = b"Metadata-Version: 2.1\nName: pip\nVersion: 9\nLicense: MIT\n"


class Place:
    """`build` in a process of its own. `recipe`: offline.toml's text."""

    def __init__(self, home: Path, engine: FakeEngine) -> None:
        self.home = home
        self.engine = engine
        self.out = home / "bundle"
        self.key = home / "key"
        make_key(self.key)
        self.wheels = home / "index"
        wheel(self.wheels, "alpha", "1.0", "beta>=2")
        wheel(self.wheels, "beta", "2.0", licence="Apache-2.0 OR MIT")
        self.weights = home / "weights"
        self.weights.mkdir()
        safetensors(self.weights / "model.safetensors")
        (self.weights / "config.json").write_text("{}")
        (self.weights / "LICENSE").write_text("Do what is right.\n")

    def recipe(self, text: str = "", key: bool = True, docs: bool = False) -> Path:
        """The manuals are left out: each file is two waits for the disk."""
        path = self.home / "offline.toml"
        head = 'chunk_size = "256K"\n' + ("" if docs else "docs = false\n") + (f'key = "{self.key}"\n' if key else "")
        path.write_text(head + text)
        return path

    def environment(self) -> Mapping[str, str]:
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        path = f"{self.engine.path}{os.pathsep}{os.environ['PATH']}"
        return os.environ | offline | {"PATH": path, "PYTHONPATH": str(ROOT / "offline")}

    def command(self, *more: str | Path) -> list[str]:
        start = [sys.executable, "-m", "cellar_offline", "build", "-c", str(self.home / "offline.toml")]
        return [*start, "--out", str(self.out), *map(str, more)]

    def build(self, *more: str | Path, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*more),
            env=self.environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=before,
        )

    def made(self, *more: str | Path) -> Manifest:
        """The bundle that must come out."""
        done = self.build(*more)
        assert done.returncode == 0, done.stderr
        return self.manifest()

    def manifest(self) -> Manifest:
        return parse((self.out / "manifest.json").read_bytes())

    def refused(self, *more: str | Path) -> str:
        """What a person reads where none may come out."""
        done = self.build(*more)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert not (self.out / "manifest.json").exists() and not (self.out / "manifest.json.sig").exists()
        return done.stderr


IMAGES = """
[images]
leave_out = ["cellar-prove", "cellar-model"]
"""
WHEELS = """
[[wheels]]
folder = "workspace"
python = "{}.{}.0"
requirements = ["alpha"]
""".format(*sys.version_info)
WEIGHTS = """
[[weights]]
name = "tiny"
from = "folder"
folder = "weights"
licence = "Apache-2.0"
"""

BASE = {"var/lib/dpkg/status": DPKG, "opt/inner_lib-4.5.dist-info/METADATA": METADATA, "big": noise("base")}
LEFT = b'{"name":"left","version":"3","license":"ISC"}'
UPPER = {"opt/pip-9.dist-info/METADATA": PIP, "node_modules/left/package.json": LEFT}
TOP = {"opt/.wh.pip-9.dist-info": b"", "own": noise("own")}


@pytest.fixture(params=[OLD, NEW, BOTH])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> FakeEngine:
    """The hub's and the workspace's image stand on one layer."""
    made = FakeEngine(tmp_path / "engine", request.param)
    made.add("cellar-hub:dev", [layer(BASE), layer(UPPER)])
    labels = {"Labels": {"org.opencontainers.image.licenses": "BSD-3-Clause"}}
    made.add("cellar-workspace:dev", [layer(BASE), layer(UPPER), layer(TOP)], config=labels)
    return made


@pytest.fixture
def place(engine: FakeEngine, tmp_path: Path) -> Place:
    return Place(tmp_path, engine)


@pytest.fixture
def old_place(tmp_path: Path) -> Place:
    """The same with one engine: for what does not depend on it."""
    made = FakeEngine(tmp_path / "engine", OLD)
    made.add("cellar-hub:dev", [layer(BASE), layer(UPPER)])
    made.add("cellar-workspace:dev", [layer(BASE), layer(UPPER), layer(TOP)])
    return Place(tmp_path, made)
