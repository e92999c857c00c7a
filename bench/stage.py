"""What a measurement stands on: a fake model server, JupyterLab and Chromium, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.clock import PageClock
from tests.browser import FLAGS, chromium
from tests.fakes.fixtures import unused_port
from tests.ui.lab import ROOT, Lab, wait_until

PROBE = (Path(__file__).parent / "probe.js").read_text()
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Model:
    """The fake vLLM of tests/fakes by its control endpoint; its times are `time.monotonic_ns()`."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.url = self.root + "/v1"

    def control(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with _DIRECT.open(urllib.request.Request(self.root + "/control" + path, data=data), timeout=60) as answer:
            return json.loads(answer.read())

    def use(self, *scenarios: dict[str, Any]) -> None:
        self.control("", {"use": list(scenarios)})

    def release(self, n: int = 1) -> None:
        self.control("/release", {"n": n})

    def reset(self) -> None:
        self.control("/reset", {})

    def requests(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = self.control("/state")["requests"]
        return requests

    def wait(self, **counts: int) -> list[dict[str, Any]]:
        """Until so many requests came, wait at a gate, finished or were aborted."""
        query = "&".join(f"{name}={count}" for name, count in counts.items())
        requests: list[dict[str, Any]] = self.control(f"/wait?{query}")["requests"]
        return requests


@contextlib.contextmanager
def model() -> Iterator[Model]:
    port = unused_port()
    command = [sys.executable, "-m", "tests.fakes.vllm", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield Model(port)
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def installed(model_url: str, config: str = "") -> Iterator[Lab]:
    """JupyterLab in a home of its own, not started."""
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as home:
        server = Lab(Path(home), env={"VLLM_BASE_URL": model_url}, config=config)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def lab(model_url: str, config: str = "") -> Iterator[Lab]:
    with installed(model_url, config) as server:
        server.start().reset()
        yield server


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        raise SystemExit("Chromium is missing: apt-get install chromium, or set CELLAR_CHROMIUM to its path")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield running
        finally:
            running.close()


class Stage:
    """One page with the panel open."""

    def __init__(self, page: Page, server: Lab, model: Model) -> None:
        self.page = page
        self.lab = server
        self.model = model
        self.cdp = page.context.new_cdp_session(page)
        self.cdp.send("Performance.enable")
        self._clock: PageClock | None = None

    @property
    def clock(self) -> PageClock:
        if self._clock is None:
            self._clock = PageClock(self.page)
        return self._clock

    def open(self, notebook: str | None = "sample.ipynb") -> Stage:
        self.page.goto(self.lab.page_url("lab/tree/" + notebook if notebook else "lab"))
        self.page.locator("#jupyterlab-splash").wait_for(state="hidden", timeout=60_000)
        panel = self.page.locator(".jp-Cellar-panel")
        panel.wait_for(state="attached", timeout=30_000)
        if not panel.is_visible():
            self.page.evaluate("window.jupyterapp?.commands.execute('cellar:open-chat')")
        self.composer.wait_for(state="visible")
        if notebook:
            self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
            self.page.locator(".jp-Cellar-pill", has_text=notebook).first.wait_for(timeout=30_000)
        return self

    @property
    def composer(self) -> Any:
        return self.page.locator(".jp-Cellar-composer textarea")

    def new_conversation(self) -> None:
        self.page.locator(".jp-Cellar-header").get_by_role("button", name="New conversation", exact=True).click()

    def ask(self, text: str = "What does this notebook do?") -> None:
        """Type, wait until the page is calm, press Enter."""
        self.composer.fill(text)
        self.page.wait_for_timeout(600)  # the preview of the token cost is its own request
        self.page.evaluate("__bench.reset()")
        self.composer.press("Enter")

    def times(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("({...__bench, tasks: [...__bench.tasks]})")
        return found

    def wait_painted(self, timeout: float = 120) -> dict[str, Any]:
        self.page.wait_for_function("__bench.painted > 0", timeout=timeout * 1000, polling=100)
        self.page.wait_for_timeout(700)
        return self.times()

    def busy_seconds(self) -> float:
        """Seconds of main-thread tasks so far."""
        metrics = {each["name"]: each["value"] for each in self.cdp.send("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"])


@contextlib.contextmanager
def stage(
    running: Browser, server: Lab, fake: Model, notebook: str | None = "sample.ipynb", *, opened: bool = True
) -> Iterator[Stage]:
    context = running.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
    context.add_init_script(PROBE)
    try:
        made = Stage(context.new_page(), server, fake)
        yield made.open(notebook) if opened else made
    finally:
        context.close()


def idle(seconds: float) -> None:
    """A measured process needs some quiet before it; nothing is waited for."""
    time.sleep(seconds)


__all__ = ["Lab", "Model", "Stage", "browser", "idle", "installed", "lab", "model", "stage", "wait_until"]
