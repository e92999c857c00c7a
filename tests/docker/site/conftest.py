"""One stack for all tests of this folder, and users made once.

The tests here run in the order of their files' names and share workspaces: making a user and starting a workspace takes
seconds, and what is tested is one installation that lives on. A test that hurts a service waits until it is well again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Error as PlaywrightError

from tests.conftest import FOREIGN, PROXIES
from tests.docker.site.installation import LONG, SHORT, Installation, running
from tests.docker.site.person import Person
from tools import hub, images

ROOT = Path(__file__).resolve().parents[3]
SHOTS = ROOT / ".shots" / "site"
expect.set_options(timeout=30_000)
TIMEOUT = 400  # seconds for one test, without its fixtures: those wait for images, for the stack, for two workspaces


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT, func_only=True))
            item.add_marker(pytest.mark.ui)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.failed:
        _keep_evidence(item)
    return report


def _keep_evidence(item: pytest.Item) -> None:
    """What every page shows, what a workspace knows of its conversations, and what the services said last."""
    SHOTS.mkdir(exist_ok=True, parents=True)
    for person in Person.everybody:
        for number, page in enumerate(person.context.pages):
            page.screenshot(path=SHOTS / f"{item.name}.{person.name}.{number}.png")
        with contextlib.suppress(PlaywrightError, TypeError, ValueError):  # no workspace, or one that does not answer
            listed = _asked(person, "cellar/api/conversations")
            turns = [_asked(person, f"cellar/api/conversations/{each['id']}") for each in listed]
            (SHOTS / f"{item.name}.{person.name}.json").write_text(json.dumps(turns, ensure_ascii=False, indent=1))
    site = getattr(item, "funcargs", {}).get("site")
    if isinstance(site, Installation):
        (SHOTS / f"{item.name}.log").write_text(site.stack.run("logs", "--no-color", "--tail=200").stdout)


def _asked(person: Person, path: str) -> Any:
    """Within seconds, whatever the person's page is doing."""
    return person.context.request.get(person.url(path), timeout=10_000).json()


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def built() -> Iterator[list[str]]:
    """The images. Those that are not current are built first; BUILD=0 takes them as they are."""
    build = os.environ.get("BUILD") != "0"
    with pytest.MonkeyPatch.context() as clean:  # nothing of the person's own settings
        for name in list(os.environ):
            if name.startswith(FOREIGN) or name.upper() in PROXIES or name in ("OVERLAYS", "PORT", "BUILD"):
                clean.delenv(name)
        try:
            hub.compose_command()
        except SystemExit as problem:
            _missing(f"Docker Compose is missing: {problem}")
        try:
            names = [images.build(name) if build else f"cellar-{name}:dev" for name in images.NAMES]
        except images.Missing as problem:
            _missing(f"an image is missing: {problem}")
        yield names


@pytest.fixture(scope="package")
def site(
    client: docker.APIClient, built: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The running installation."""
    with running(client, tmp_path_factory.mktemp("hub"), built) as made:
        yield made


NewPerson = Callable[..., Person]


@pytest.fixture(scope="package")
def new_person(site: Installation, browser: Browser) -> Iterator[NewPerson]:
    """`new_person(name)`: an account, and a browser that is not logged in yet."""
    made: list[Person] = []
    shutil.rmtree(SHOTS, ignore_errors=True)

    def new(name: str, locale: str = "en-US") -> Person:
        if name not in site.passwords:
            site.add_user(name)
        made.append(Person(site, browser, name, SHOTS, locale))
        return made[-1]

    yield new
    for person in made:
        person.close()


@pytest.fixture(scope="package")
def two(new_person: NewPerson) -> tuple[Person, Person]:
    """Ada and Ben, whose workspaces have started side by side and whose panels are open."""
    ada, ben = new_person("ada"), new_person("ben")
    for person in (ada, ben):
        person.log_in()
        if person is ada:
            person.shot("1-login")
        person.submit()
    for person in (ada, ben):
        person.watch_spawn()
        person.shot(f"2-spawn-{person.name}")
    for person in (ada, ben):
        person.wait_for_workspace()
        person.panel.show()
        person.shot(f"3-panel-{person.name}")
    return ada, ben


@pytest.fixture
def ada(two: tuple[Person, Person]) -> Person:
    return two[0]


@pytest.fixture
def ben(two: tuple[Person, Person]) -> Person:
    return two[1]


@pytest.fixture
def short_answers(site: Installation, two: tuple[Person, Person]) -> None:
    site.policy(SHORT)
    site.give_the_model(0)


@pytest.fixture
def long_answers(site: Installation, two: tuple[Person, Person]) -> None:
    """So long that something can be done to them: the gateway lets a tiny model write 512 tokens at most, and on a good
    machine these take it five seconds."""
    site.policy(LONG)
    site.give_the_model(0.2)
