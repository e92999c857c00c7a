"""What Cellar adds to a plain JupyterLab: start, memory, JavaScript, packages."""

from __future__ import annotations

import re
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from bench import stage
from bench.peers import NBI
from bench.report import Row, Section, median, spread
from bench.stage import Model

BUILT = Path(__file__).resolve().parent.parent / "jupyter_ext" / "cellar_jupyter" / "labextension"
WITHOUT = '\nc.ServerApp.jpserver_extensions = {"cellar_jupyter": False}\n'
RUNS = 5


def _start(fake: Model, config: str) -> tuple[float, float]:
    """ms until the server answers, and its resident MB after three idle seconds."""
    began = time.monotonic()
    with stage.lab(fake.url, config) as server:
        ready = (time.monotonic() - began) * 1e3
        stage.idle(3)
        assert server.process is not None
        memory = psutil.Process(server.process.pid).memory_full_info().uss / 2**20
    return ready, memory


def closure(name: str) -> set[str]:
    """All distributions that installing `name` brings, itself included."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if current in seen:
            continue
        try:
            requires = distribution(current).requires or []
        except PackageNotFoundError:
            continue
        seen.add(current)
        parsed = map(Requirement, requires)
        todo += [each.name for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return seen


def footprint(fake: Model) -> Section:
    pairs = [(_start(fake, ""), _start(fake, WITHOUT)) for _ in range(RUNS)]
    starts = [ours[0] - plain[0] for ours, plain in pairs]
    memory = [ours[1] - plain[1] for ours, plain in pairs]
    scripts = sum(path.stat().st_size for path in (BUILT / "static").glob("*.js")) / 1e3
    packages = sorted(closure("jupyter-cellar") - closure("jupyterlab"))
    plain_start = median([plain[0] for _, plain in pairs])
    plain_memory = median([plain[1] for _, plain in pairs])
    return Section(
        "Over plain JupyterLab",
        f"{RUNS} starts each, by turns, the extension switched off in every second one; memory is unique set size.",
        [
            Row(
                "server ready later by",
                median(starts),
                "ms",
                50,
                spread(starts),
                f"plain: {plain_start:.0f} ms; {NBI['start']}",
            ),
            Row(
                "idle memory",
                median(memory),
                "MB",
                15,
                spread(memory, "MB"),
                f"plain: {plain_memory:.0f} MB; {NBI['memory']}",
            ),
            Row("JavaScript", scripts, "kB", 600, "all of it, uncompressed", NBI["scripts"]),
            Row("packages", len(packages), "packages", 8, ", ".join(packages), NBI["packages"]),
        ],
    )
