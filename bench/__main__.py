"""`python -m bench [section ...]`: measure, print, and write each section into its place in bench/RESULTS.md.

A section is written as soon as it has ended: what was measured stays when a later one fails or is interrupted. One that
cannot be measured here (no Docker, no Chromium) says why, and keeps its old figures. With `--print` nothing is written.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from playwright.sync_api import Browser

from bench import (
    console,
    footprint,
    gateway,
    gateway_users,
    hub_store,
    latency,
    login,
    machine,
    networks,
    page,
    prefix,
    stage,
    stopping,
    streaming,
    vllm_serve,
)
from bench.report import Section
from bench.stage import Lab, Model

PANEL = ("questions", "answers", "markdown", "cost", "stops", "footprint")
"""Those that want a browser, a model server and JupyterLab; the others are measured without these beside them."""


class Place:
    """Where a section is measured; a browser, a model server and JupyterLab start when one first wants them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._panel: tuple[Browser, Lab, Model] | None = None

    @property
    def panel(self) -> tuple[Browser, Lab, Model]:
        if self._panel is None:
            running = self._stack.enter_context(stage.browser())
            fake = self._stack.enter_context(stage.model())
            self._panel = running, self._stack.enter_context(stage.lab(fake.url)), fake
        self._panel[1].reset()
        return self._panel

    @property
    def browser(self) -> str:
        return "" if self._panel is None else f"Chromium {self._panel[0].version}"

    def leave(self) -> None:
        self._panel = None
        self._stack.close()


def _apart(measure: Callable[[], Section]) -> Section:
    """In a thread: Playwright's event loop is in this one, and who binds itself to cores binds only that thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(measure).result()


SECTIONS: dict[str, Callable[[Place], Section]] = {
    "questions": lambda place: latency.questions(*place.panel),
    "answers": lambda place: latency.answers(*place.panel),
    "markdown": lambda place: streaming.markdown(*place.panel),
    "cost": lambda place: streaming.cost(*place.panel),
    "stops": lambda place: stopping.stops(*place.panel),
    "footprint": lambda place: footprint.footprint(place.panel[2]),
    "gateway": lambda _: _apart(gateway.section),
    "gateway-memory": lambda _: _apart(gateway.memory_section),
    "gateway-users": lambda _: _apart(gateway_users.section),
    "store": lambda _: _apart(hub_store.section),
    "login": lambda _: _apart(login.section),
    "console": lambda _: _apart(console.section),
    "prefix": lambda _: prefix.section(),
    "vllm-serve": lambda _: _apart(vllm_serve.section),
    "networks": lambda _: _apart(networks.section),
}


def measure(name: str, place: Place, write: bool) -> bool:
    """False when it could not be measured; the reason is said."""
    began = time.perf_counter()
    print(f"--- {name}", flush=True)
    if name not in PANEL:
        place.leave()
    try:
        section = SECTIONS[name](place)
    except SystemExit as problem:
        print(f"{name} was not measured: {problem}\n", flush=True)
        return False
    except Exception:  # noqa: BLE001 - the edge: the sections after it are measured all the same
        traceback.print_exc()
        print(f"{name} was not measured\n", flush=True)
        return False
    text = section.text()
    print(f"{text}\n{name} took {time.perf_counter() - began:.0f} s\n", flush=True)
    if write:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        where = machine.description(section.packages, place.browser if name in PANEL else "")
        page.keep(name, text, f"Measured {when} at commit {machine.commit()} on {where}.", SECTIONS)
    return True


def main(arguments: list[str]) -> int:
    wanted = [each for each in arguments if not each.startswith("-")]
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        print(f"no section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
        return 2
    place = Place()
    try:
        done = [measure(name, place, "--print" not in arguments) for name in wanted or SECTIONS]
    finally:
        place.leave()
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
