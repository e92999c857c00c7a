"""The hub's pages in the browser's language and theme, on a real JupyterHub with our templates and a spawner whose
starts fail as workspaces' starts do. Without Docker: what a container's start looks like is in tests/docker."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cellar_hub.policybook import PolicyBook
from cellar_hub.policyedit import Change, PutAnnouncement, RemoveAnnouncement, change
from playwright.sync_api import Browser, Page, Route, expect

from tests.fakes.fixtures import unused_port
from tests.hub.jupyter import NO_PROXY
from tests.ui.test_panel_looks import CONTRAST

PASSWORD = "a-password-of-tests"
SCREENSHOTS = os.environ.get("CELLAR_SCREENSHOTS")
"""A folder for pictures of the pages, for whoever wants to look."""
CONFIG = """
import os
from cellar_hub.configure import configure
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.refusals import StartRefused
from jupyterhub.spawner import Spawner
from traitlets.config import Config

class Failing(Spawner):
    async def progress(self):
        yield {"progress": 50, "message": "Creating your workspace (0.5 CPU, 256 MB)"}
        yield {"progress": 75, "message": "Waiting for JupyterLab"}
        await asyncio.Event().wait()
    async def start(self):
        while not os.path.exists("go"):
            await asyncio.sleep(0.05)
        log = b"<b>line</b>\\n" * 40 + b"ModuleNotFoundError: No module named 'jupyterhub'"
        raise StartRefused("Your workspace ended while it started (exit code 3).", log)
    async def poll(self): return 0
    async def stop(self, now=False): pass

import asyncio
ours = Config()
configure(ours, HubSettings.from_env(os.environ))
c = get_config()
c.JupyterHub.template_paths, c.JupyterHub.template_vars = ours.JupyterHub.template_paths, ours.JupyterHub.template_vars
c.JupyterHub.token_expires_in_max_seconds = ours.JupyterHub.token_expires_in_max_seconds
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["TEST_PASSWORD"]
c.Authenticator.allow_all = True
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = Failing
c.Spawner.consecutive_failure_limit = 0
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret_file = "cookie-secret"
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
"""


class PagesHub:
    """Starts hang until `let_fail`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.policy = folder / "policy.toml"
        self.policy.write_text("[default]\n")
        self.base = f"http://127.0.0.1:{unused_port()}"
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "HUB_URL": self.base,
            "TEST_PASSWORD": PASSWORD,
            "CELLAR_GATEWAY_TOKEN": "g" * 32,
            "CONFIGPROXY_AUTH_TOKEN": "p" * 32,
            "CELLAR_WORKSPACE_IMAGES": "none",
            "CELLAR_POLICY": str(self.policy),
        }
        (folder / "config.py").write_text(NO_PROXY + CONFIG)
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "jupyterhub", "-f", "config.py"]
            self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.base}/hub/api/", timeout=5):
                return
            time.sleep(0.05)

    def hold(self) -> None:
        (self._folder / "go").unlink(missing_ok=True)

    def let_fail(self) -> None:
        (self._folder / "go").touch()

    def announce(self, *changes: Change) -> None:
        book = PolicyBook(self.policy)
        seen = book.read()
        book.save(change(seen.text, *changes), based_on=seen.id, by="admin")

    def log_in(self, page: Page, name: str, password: str = PASSWORD) -> None:
        page.goto(f"{self.base}/hub/login")
        page.fill("#username_input", name)
        page.fill("#password_input", password)
        page.click("#login_submit")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesHub]:
    found = PagesHub(tmp_path_factory.mktemp("hub"))
    yield found
    found.process.terminate()
    found.process.wait(30)


@pytest.fixture
def korean(browser: Browser) -> Iterator[Page]:
    """Somebody whose browser asks for Korean first, in the dark."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, locale="ko-KR", color_scheme="dark")
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def shot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))


def english_in(page: Page) -> list[str]:
    """What of the page's visible text is made of Latin words, apart from names, logs and times."""
    page.locator("pre, .note-col").evaluate_all("found => found.forEach((each) => each.remove())")
    names = r"alice|bob|JupyterLab|CPU|MB|HTTP|JavaScript|Cellar|custom:llm:chat"
    lines = [re.sub(names, "", line).strip() for line in page.locator("body").inner_text().splitlines()]
    return [line for line in lines if re.search("[A-Za-z]{2,}", line)]


def test_the_log_in_page_is_in_the_browsers_language_and_theme(
    hub: PagesHub, korean: Page, page: Page, allow_console: Callable[[str], None]
) -> None:
    allow_console("403")
    for somebody in (page, korean):
        hub.log_in(somebody, "alice", "wrong")
    expect(page.locator(".login_error")).to_have_text("Name or password is wrong.")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#login_submit")).to_have_value("Log in")
    shot(page, "hub-login-en")
    expect(korean.locator(".login_error")).to_have_text("이름 또는 비밀번호가 올바르지 않습니다.")
    expect(korean.locator("html")).to_have_attribute("lang", "ko")
    expect(korean.locator("#login_submit")).to_have_value("로그인")
    assert korean.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    shot(korean, "hub-login-ko")
    assert korean.title() == "Cellar" and english_in(korean) == []


def test_the_steps_of_a_start_and_its_failure_are_in_korean(hub: PagesHub, korean: Page) -> None:
    hub.hold()
    hub.log_in(korean, "bob")
    expect(korean.locator("#progress-message")).to_have_text("JupyterLab을 기다리는 중")
    korean.click("#progress-details summary")
    expect(korean.locator("#progress-log")).to_contain_text("작업 공간을 만드는 중 (0.5 CPU, 256 MB)")
    shot(korean, "hub-starting-ko")
    assert english_in(korean) == []
    hub.let_fail()
    expect(korean.locator("#progress-message")).to_contain_text("종료 코드 3")
    expect(korean.locator("pre").first).to_contain_text("ModuleNotFoundError: No module named 'jupyterhub'")
    shot(korean, "hub-failed-ko")
    assert english_in(korean) == []
    for path in ("spawn-pending/bob", "home", "token", "nothing"):
        korean.goto(f"{hub.base}/hub/{path}")
        expect(korean.locator("html")).to_have_attribute("lang", "ko")
        assert english_in(korean) == [], path


def test_a_start_that_failed_says_so_and_offers_another_and_nothing_that_is_over(hub: PagesHub, page: Page) -> None:
    hub.hold()
    hub.log_in(page, "alice")
    expect(page.locator("#cellar-starting")).to_contain_text("Your workspace is starting.")
    expect(page.locator("#stop-server-btn")).to_have_text("Stop")
    hub.let_fail()
    expect(page.locator("h1")).to_have_text("Your workspace did not start")
    expect(page.locator("#cellar-starting")).to_be_hidden()
    expect(page.locator("#stop-server-btn")).to_be_hidden()
    expect(page.locator("[role=log]")).to_have_count(1)
    shot(page, "hub-failed-en")
    hub.hold()
    page.click("#start")
    expect(page.locator("#progress-message")).to_have_text("Waiting for JupyterLab")
    hub.let_fail()
    expect(page.locator("#start")).to_be_visible()


def test_a_start_that_fails_while_the_page_asks_for_its_steps_is_told_all_the_same(
    hub: PagesHub, page: Page, allow_console: Callable[[str], None]
) -> None:
    """JupyterHub refuses the steps in the moment between a start's failure and its end."""
    allow_console("400")
    allow_console("503")
    refused = []

    def refuse(route: Route) -> None:
        refused.append(route.request.url)
        route.fulfill(status=400, json={"status": 400, "message": "carol is not starting..."})

    page.route("**/server/progress*", refuse)
    hub.hold()
    hub.log_in(page, "carol")
    expect(page.locator("#cellar-starting")).to_contain_text("Your workspace is starting.")
    hub.let_fail()
    expect(page.locator("body")).to_contain_text("Your workspace ended while it started (exit code 3).")
    assert refused


def test_a_name_that_is_a_text_of_the_page_stays_a_name(hub: PagesHub, korean: Page) -> None:
    hub.let_fail()
    hub.log_in(korean, "home")
    expect(korean.locator("#start")).to_be_visible()
    korean.goto(f"{hub.base}/hub/home")
    expect(korean.locator("#login_widget > span, #login_widget")).to_contain_text(["home"])
    expect(korean.locator(".nav-link").first).to_have_text("홈")


def shown(hub: PagesHub, page: Page, path: str, number: int) -> list[str]:
    """What is announced on a page, as soon as it is so many."""
    told = page.locator(".cellar-announcement span")
    deadline = time.monotonic() + 20
    while True:
        page.goto(f"{hub.base}/hub/{path}")
        expect(page.locator("#jupyterhub-logo")).to_be_visible()
        if told.count() == number or time.monotonic() > deadline:
            return told.all_inner_texts()


def test_what_an_administrator_announces_is_told_on_every_page_until_it_is_taken_back(
    hub: PagesHub, browser: Browser, page: Page, korean: Page
) -> None:
    html = "Home <b onclick=alert(1)>bold</b>\nand a second line"
    hub.announce(
        PutAnnouncement(id="a", level="info", text=html, audience="all"),
        PutAnnouncement(id="b", level="warning", text="Home"),
        PutAnnouncement(id="c", level="error", text="큰 모델이 금요일에 옮겨집니다."),
    )
    without = browser.new_context(java_script_enabled=False)
    plain = without.new_page()
    assert shown(hub, plain, "login", 1) == [html], "who has not logged in is told what is for all, without JavaScript"
    without.close()
    hub.hold()
    for somebody, name, words in (
        (page, "dora", ["Notice", "Warning", "Important"]),
        (korean, "emil", ["알림", "주의", "중요"]),
    ):
        hub.log_in(somebody, name)
        for path in ("home", "token", f"spawn-pending/{name}"):
            assert shown(hub, somebody, path, 3) == [html, "Home", "큰 모델이 금요일에 옮겨집니다."], path
        boxes = somebody.locator(".cellar-announcement")
        expect(boxes.locator("strong")).to_have_text(words)
        looks = [each.evaluate("each => getComputedStyle(each).backgroundColor") for each in boxes.all()]
        assert len(set(looks)) == 3, "a level has its colour"
        assert all(each.evaluate(CONTRAST) >= 4.5 for each in boxes.locator("*").all())
        shot(somebody, f"hub-announcements-{name}")
    hub.let_fail()
    hub.announce(*(RemoveAnnouncement(id=each) for each in "abc"))
    assert shown(hub, page, "home", 0) == []
