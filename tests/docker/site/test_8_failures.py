"""Starts that fail, as their users see them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.docker.site.conftest import NewPerson
from tests.docker.site.installation import Installation
from tests.docker.site.person import Person
from tests.ui.lab import wait_until


@pytest.fixture(scope="module")
def dana(site: Installation, new_person: NewPerson) -> Person:
    """A member of the group for which there is a second, far too small profile."""
    person = new_person("dana")
    admin = new_person("admin")
    admin.log_in("hub/login?next=%2Fhub%2Fhome")
    admin.press_submit()
    admin.page.wait_for_url("**/hub/home")
    for path, body in (("groups/tight", {}), ("groups/tight/users", {"users": ["dana"]})):
        status, text = admin.fetch("POST", f"{site.url}/hub/api/{path}", body)
        assert status < 300, text
    person.log_in("hub/login?next=%2Fhub%2Fspawn")
    person.press_submit()
    person.page.wait_for_url("**/hub/spawn**")
    return person


def start(person: Person, profile: str) -> None:
    person.page.goto(f"{person.installation.url}/hub/spawn")
    person.page.get_by_role("radio", name=re.compile(f"^{profile}")).check()
    person.shot("9-profiles")
    person.page.locator("#spawn_form input[type=submit], #spawn_form button[type=submit]").first.click()


@pytest.fixture
def withdrawn(site: Installation) -> Iterator[str]:
    """The image's name, which leads nowhere while the test runs."""
    kept = f"{site.name}-kept"
    site.client.tag(site.image, "cellar-workspace", kept)
    site.client.remove_image(site.image, noprune=True)
    yield site.image
    site.client.tag(f"cellar-workspace:{kept}", *site.image.split(":"))
    site.client.remove_image(f"cellar-workspace:{kept}", noprune=True)


def test_a_withdrawn_image_is_said_with_its_name(site: Installation, dana: Person, withdrawn: str) -> None:
    start(dana, "Standard")
    expect(dana.page.locator("body")).to_contain_text(f"The image {withdrawn} is not on this machine", timeout=60_000)
    dana.shot("10-image-withdrawn")
    assert not site.workspace("dana")


def test_a_start_without_enough_memory_shows_the_containers_last_words(site: Installation, dana: Person) -> None:
    start(dana, "Far too small")
    page = dana.page.locator("body")
    expect(page).to_contain_text(re.compile("It needed more memory than it may have"), timeout=90_000)
    expect(page).to_contain_text("These are its last words.")
    dana.shot("11-out-of-memory")
    wait_until(lambda: not site.workspace("dana"), "the container to be gone")
