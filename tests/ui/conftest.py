"""Chromium against real JupyterLab servers. Everything a UI test needs is a fixture of this page.

A test in short::

    def test_the_answer_appears_in_the_transcript(panel, model):
        panel.open()
        panel.ask("hello")
        panel.expect_answer("hello")          # the fake model repeats the question unless a test scripts it

Fixtures
    lab             a running JupyterLab over a temporary workspace that holds `sample.ipynb` (20 cells), wired to
                    `model`. One process for the whole session, emptied before each test (kernels, conversations,
                    settings, files). `lab.korean()`, `lab.dark()`, `lab.setting(plugin, key=value)`,
                    `lab.write(name, text)` before the page is opened; `lab.cellar("GET", "conversations")` asks the
                    workspace server. See tests/ui/lab.py.
    lab_ko          the same with Lab in Korean.
    new_lab         a factory for tests that restart, kill or configure a server of their own:
                    `mine = new_lab(config="c.Cellar.orphan_grace = 1", VLLM_BASE_URL=model.url)`.
    model           the strict fake vLLM (tests/fakes/vllm.py says how to script it: `model.use("gated")`,
                    `model.release()`, `model.wait_for(...)`, `model.aborted`), emptied before each test.
    embedded_model  the real SmolLM2-135M; its base URL. Tests with it carry @pytest.mark.real_model.
    lab_real        JupyterLab wired to `embedded_model`.
    page            a Playwright page, 1280 x 800; no cookies, no storage, compiled scripts kept (tests/browser.py).
                    Console errors and uncaught exceptions fail the test unless `allow_console(pattern)` was called.
                    `new_page()` opens further tabs of the context.
    panel           the chat panel on `page` over `lab` (tests/ui/panel.py): open, ask, expect_answer, stop, ...

When a test fails its screenshot, the page's console and the server's log lie in .shots/.
Everything here is Playwright's synchronous API; a UI test is a plain function.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the Python package playwright is missing")

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from tests.browser import forget
from tests.fakes.fixtures import unused_port
from tests.fakes.vllm import FakeVLLM, running
from tests.ui.lab import ROOT, Lab, wait_until
from tests.ui.panel import Panel

SHOTS = ROOT / ".shots"
# What JupyterLab itself writes to the console on a good day.
ORDINARY = [
    re.compile(r"Failed to load resource.*40[34].*/api/(contents|me|kernels|sessions|workspaces|settings)"),
    re.compile(r"favicon"),
    # Notebook 7.6: a settings plugin of JupyterLab's that it does not ship (also with Cellar switched off), and a
    # command that JupyterLab's code inside it calls and it does not have.
    re.compile(r"Cannot read properties of undefined \(reading 'schema'\)"),
    re.compile(r"Command 'filebrowser:open-path' not registered"),
]
ALWAYS_THE_SAME = ("--temperature", "0")
"""Else how long the real model goes on is chance: up to a share of its context, minutes on a busy machine."""
expect.set_options(timeout=15_000)

NewPage = Callable[[], Page]
AllowConsole = Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.ui)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    setattr(item, f"report_{report.when}", report)
    return report


# --- servers


@pytest.fixture(scope="session")
def _model_process() -> Iterator[FakeVLLM]:
    with running() as fake:
        yield fake


@pytest.fixture
def model(_model_process: FakeVLLM) -> FakeVLLM:
    _model_process.reset()
    return _model_process


@pytest.fixture(scope="session")
def embedded_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real small model in a process of its own; its base URL."""
    pytest.importorskip("xllamacpp", reason="the embedded model's server (xllamacpp) is not installed")
    port = unused_port()
    log = tmp_path_factory.mktemp("embedded-model") / "model.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.embedded_model", "--port", str(port), *ALWAYS_THE_SAME],
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(lambda: _ready(process, log), f"the embedded model (log: {log})", timeout=60)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


def _ready(process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"the embedded model ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return "ready" in log.read_text()


@pytest.fixture(scope="session")
def _lab_process(_model_process: FakeVLLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), env={"VLLM_BASE_URL": _model_process.url}).start()
    yield lab
    lab.stop()


@pytest.fixture
def lab(_lab_process: Lab, model: FakeVLLM) -> Lab:
    _lab_process.reset()
    return _lab_process


@pytest.fixture
def lab_ko(lab: Lab) -> Lab:
    lab.korean()
    return lab


@pytest.fixture(scope="session")
def _lab_real_process(embedded_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab-real"), env={"VLLM_BASE_URL": embedded_model}).start()
    yield lab
    lab.stop()


@pytest.fixture
def lab_real(_lab_real_process: Lab) -> Lab:
    _lab_real_process.reset()
    return _lab_real_process


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """`new_lab(config="", **environment)` starts a server of the test's own; ended with the test."""
    started: list[Lab] = []

    def new(config: str = "", **env: str) -> Lab:
        lab = Lab(tmp_path / f"lab-{len(started)}", env=env, config=config)
        started.append(lab)
        lab.start()
        lab.reset()
        return lab

    yield new
    for lab in started:
        lab.stop()


# --- browser


@pytest.fixture
def context(kept_context: BrowserContext) -> Iterator[BrowserContext]:
    kept_context.set_default_timeout(15_000)
    yield kept_context
    kept_context.set_offline(False)
    forget(kept_context)


class Console:
    """What the pages of a test wrote to their console."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.allowed: list[re.Pattern[str]] = list(ORDINARY)

    def watch(self, page: Page) -> None:
        page.on("console", self._message)
        page.on("pageerror", lambda error: self._error(f"uncaught: {error}"))

    def _message(self, message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        line = f"{message.type}: {message.text} ({where})"
        self.lines.append(line)
        if message.type == "error":
            self._error(line)

    def _error(self, line: str) -> None:
        self.lines.append(line)
        self.errors.append(line)

    def complaints(self) -> list[str]:
        return [line for line in self.errors if not any(p.search(line) for p in self.allowed)]


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def allow_console(console: Console) -> AllowConsole:
    """`allow_console(regex)`: console errors that match are part of what this test shows."""
    return lambda pattern: console.allowed.append(re.compile(pattern))


@pytest.fixture
def new_page(context: BrowserContext, console: Console, request: pytest.FixtureRequest) -> Iterator[NewPage]:
    pages: list[Page] = []

    def new() -> Page:
        page = context.new_page()
        console.watch(page)
        pages.append(page)
        return page

    yield new
    failed = getattr(request.node, "report_call", None) is None or request.node.report_call.failed
    complaints = console.complaints()
    if failed or complaints:
        _keep_evidence(request.node, pages, console)
    if complaints and not failed:
        pytest.fail("the browser's console complained:\n" + "\n".join(complaints[:10]), pytrace=False)


def _keep_evidence(item: pytest.Item, pages: list[Page], console: Console) -> None:
    SHOTS.mkdir(exist_ok=True)
    name = re.sub(r"[^\w.-]+", "_", item.nodeid.removeprefix("tests/"))
    for number, page in enumerate(p for p in pages if not p.is_closed()):
        page.screenshot(path=SHOTS / f"{name}.{number}.png")
    (SHOTS / f"{name}.console.txt").write_text("\n".join(console.lines))
    for lab in [v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Lab)]:
        shutil.copy(lab.log, SHOTS / f"{name}.server.log")


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


@pytest.fixture
def panel(page: Page, lab: Lab) -> Panel:
    return Panel(page, lab)
