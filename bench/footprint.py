"""What Cellar adds to a plain JupyterLab: start, memory, JavaScript, packages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypeVar

import psutil
from packaging.requirements import Requirement

from bench import stage
from bench.peers import NBI
from bench.report import Row, Section, median, spread
from bench.stage import Model

T = TypeVar("T")
BUILT = Path(__file__).resolve().parent.parent / "jupyter_ext" / "cellar_jupyter" / "labextension"
WITHOUT = '\nc.ServerApp.jpserver_extensions = {"cellar_jupyter": False}\n'
RUNS = 7
STARTS = 15


def _start(fake: Model, config: str) -> tuple[float, float]:
    """ms until the server answers, and ms of CPU that it has used by then."""
    with stage.installed(fake.url, config) as server:
        began = time.monotonic()
        server.start()
        ready = (time.monotonic() - began) * 1e3
        assert server.process is not None
        used = psutil.Process(server.process.pid).cpu_times()
        return ready, (used.user + used.system) * 1e3


def _memory(fake: Model, config: str) -> float:
    """Its resident MB after three idle seconds."""
    with stage.lab(fake.url, config) as server:
        stage.idle(3)
        assert server.process is not None
        return float(psutil.Process(server.process.pid).memory_full_info().uss / 2**20)


def _by_turns(measure: Callable[[Model, str], T], fake: Model, runs: int) -> list[tuple[T, T]]:
    """(with the extension, without it), one start after the other."""
    return [(measure(fake, ""), measure(fake, WITHOUT)) for _ in range(runs)]


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
    starts = _by_turns(_start, fake, STARTS)
    later, cpu = ([ours[k] - plain[k] for ours, plain in starts] for k in range(2))
    memories = _by_turns(_memory, fake, RUNS)
    memory = [ours - plain for ours, plain in memories]
    scripts = sum(path.stat().st_size for path in (BUILT / "static").glob("*.js")) / 1e3
    packages = sorted(closure("jupyter-cellar") - closure("jupyterlab"))
    plain_start, plain_cpu = (median([plain[k] for _, plain in starts]) for k in range(2))
    plain_memory = median([plain for _, plain in memories])
    return Section(
        "Over plain JupyterLab",
        f"{STARTS} starts each ({RUNS} for the memory, unique set size), by turns, the extension switched off in every "
        "second one; medians of the pairs' differences.",
        [
            Row(
                "server ready later by",
                median(later),
                "ms",
                50,
                spread(later),
                f"plain: {plain_start:.0f} ms; {NBI['start']}",
            ),
            Row("CPU of the server until then", median(cpu), "ms", None, spread(cpu), f"plain: {plain_cpu:.0f} ms"),
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
