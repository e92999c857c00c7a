"""The hub's pages while a workspace starts and when it does not, in Chromium."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.docker.engine import Hub, Site

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]
PASSWORD = "a-password-of-tests"
SCREENSHOTS = os.environ.get("CELLAR_SCREENSHOTS")
"""A folder for pictures of the pages, for whoever wants to look."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    found = context.new_page()
    found.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield found
    context.close()


def log_in(page: Page, hub: Hub, user: str) -> None:
    page.goto(f"http://{hub.site.address(hub.id, hub.site.net)}:8081/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")


def shot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))


def test_a_start_shows_its_steps_and_a_server_that_never_answers_is_said(
    site: Site, workspace_image: str, page: Page
) -> None:
    slow = {"STAND_IN": "hang", "CELLAR_START_TIMEOUT": "25", "TEST_PASSWORD": PASSWORD}
    hub = Hub(site, workspace_image, "10.199.20.0/26", **slow)
    hub.start()
    log_in(page, hub, "alice")
    expect(page.locator("#progress-message")).to_have_text("Waiting for JupyterLab")
    page.click("#progress-details summary")
    log = page.locator("#progress-log")
    expect(log).to_contain_text("Making a private network")
    expect(log).to_contain_text("Creating your workspace (0.5 CPU, 256 MB)")
    shot(page, "start")
    expect(page.locator("#progress-message")).to_contain_text("did not answer within 25 seconds")
    expect(page.locator("#progress-bar")).to_have_class("progress-bar bg-danger")
    shot(page, "start-too-slow")


def test_a_start_that_fails_shows_the_log_and_runs_none_of_it(site: Site, workspace_image: str, page: Page) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    hub = Hub(site, workspace_image, "10.199.20.64/26", STAND_IN="fail", TEST_PASSWORD=PASSWORD)
    hub.start()
    log_in(page, hub, "alice")
    shown = page.locator("pre").first
    expect(shown).to_contain_text("ModuleNotFoundError: No module named 'jupyterhub'")
    expect(shown).to_contain_text("<script>alert(1)</script> red")
    box = page.locator("#progress-message [role=log]")
    below = "box => box.querySelector('pre').getBoundingClientRect().bottom - box.getBoundingClientRect().bottom"
    assert box.evaluate(below) < 2, "the reason, at the log's end, is in view"
    shot(page, "start-failed")
    page.goto(f"http://{hub.site.address(hub.id, hub.site.net)}:8081/hub/spawn-pending/alice")
    expect(page.locator("body")).to_contain_text("exit code 3")
    expect(page.locator("pre").first).to_contain_text("ModuleNotFoundError")
    expect(page.locator("#start")).to_be_visible()
    shot(page, "start-failed-again")
    assert dialogs == []


def test_what_is_offered_changes_with_policy_and_profiles_while_the_hub_runs(
    site: Site, workspace_image: str, page: Page
) -> None:
    profiles = (
        '[a]\ntitle = "A"\ncpus = 0.5\nmemory = "256M"\n[b]\ntitle = "B"\ngroups = []\ncpus = 1\nmemory = "300M"\n'
    )
    files = {"CELLAR_PROFILES": "/data/profiles.toml", "CELLAR_POLICY": "/data/policy.toml"}
    hub = Hub(site, workspace_image, "10.199.20.192/26", TEST_PASSWORD=PASSWORD, **files)
    hub.write("profiles.toml", profiles)
    hub.write("policy.toml", '[users.alice]\nprofiles = ["a", "b"]\n')
    hub.start()
    log_in(page, hub, "alice")
    spawn = f"http://{hub.site.address(hub.id, hub.site.net)}:8081/hub/spawn"

    def offered(titles: list[str]) -> None:
        deadline = time.monotonic() + 20
        while (found := page.locator("fieldset label strong").all_inner_texts()) != titles:
            assert time.monotonic() < deadline, found
            page.goto(spawn)

    expect(page.locator("fieldset label strong")).to_have_text(["A", "B"])
    hub.write("profiles.toml", profiles.replace('"A"', '"Other"'))
    offered(["Other", "B"])
    hub.write("profiles.toml", profiles + '[c]\ntitle = "C"\ncpus = 1\nmemory = "300M"\n')
    hub.write("policy.toml", '[users.alice]\nprofiles = ["b", "c"]\n')
    offered(["B", "C"])
    hub.write("profiles.toml", "[broken")
    page.click("input[type=submit], button[type=submit]")
    hub.wait_until_ready("alice")
    own = site.client.inspect_container(f"{site.name}-ws-alice")
    assert own["HostConfig"]["NanoCpus"] == 10**9 or own["HostConfig"]["CpuQuota"] == 100_000


def test_profiles_are_offered_by_group_and_the_chosen_one_starts(site: Site, workspace_image: str, page: Page) -> None:
    profiles = (
        '[standard]\ntitle = "Standard"\ncpus = 0.5\nmemory = "256M"\n'
        '[large]\ntitle = "Large & <b>bold</b>"\ncpus = 1\nmemory = "300M"\n'
        '[closed]\ntitle = "Closed"\ngroups = ["others"]\ncpus = 1\nmemory = "300M"\n'
    )
    hub = Hub(site, workspace_image, "10.199.20.128/26", TEST_PASSWORD=PASSWORD, CELLAR_PROFILES="/data/profiles.toml")
    hub.write("profiles.toml", profiles)
    hub.start()
    log_in(page, hub, "alice")
    page.goto(f"http://{hub.site.address(hub.id, hub.site.net)}:8081/hub/spawn")
    expect(page.locator("label[for=profile-large]")).to_contain_text("Large & <b>bold</b>")
    expect(page.locator("#profile-standard")).to_be_checked()
    expect(page.locator("#profile-closed")).to_have_count(0)
    shot(page, "profiles")
    page.click("label[for=profile-large]")
    page.click("input[type=submit], button[type=submit]")
    hub.wait_until_ready("alice")
    own = site.client.inspect_container(f"{site.name}-ws-alice")
    assert own["HostConfig"]["Memory"] == 300 * 1024**2
