"""What an administrator switched off is shown with a lock and the reason, where it would be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.fakes.vllm import FakeVLLM
from tests.ui.lab import Lab
from tests.ui.panel import Panel
from tests.ui.test_composer_context import attached, drop_files, png

REASONS = {
    "attach_files": "Files leave this network only by the data office.",
    "export": "Answers stay in this room.",
    "images": "Policy 12",
    "search": "The share is too slow.",
}


@pytest.fixture
def locked(new_lab: Callable[..., Lab], page: Page, model: FakeVLLM) -> Panel:
    """The panel of a server where everything that can be switched off is."""
    features = {name: {"enabled": False, "reason": reason} for name, reason in REASONS.items()}
    return Panel(page, new_lab(config=f"c.Cellar.features = {features!r}", VLLM_BASE_URL=model.url))


def expect_lock(panel: Panel, name: str, reason: str) -> None:
    button = panel.button(f"{name}: {reason}")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_attribute("title", reason)
    expect(button.locator(".jp-Cellar-lock")).to_be_visible()


def test_a_locked_upload_shows_the_lock_and_takes_no_file(locked: Panel) -> None:
    locked.open("lab")
    attach = "Attach from this computer: pictures go with the question, other files are uploaded into the workspace"
    expect_lock(locked, attach, REASONS["attach_files"])
    drop_files(locked, "drop", ("dropped.txt", "text/plain", b"x"))
    expect(locked.composer.get_by_role("alert")).to_contain_text(REASONS["attach_files"])
    assert not (locked.lab.root / "dropped.txt").exists()


def test_locked_pictures_show_the_lock_before_one_is_pasted(locked: Panel, model: FakeVLLM) -> None:
    locked.open("lab")
    expect_lock(locked, "Pictures", REASONS["images"])
    drop_files(locked, "paste", ("red.png", "image/png", png()))
    expect(locked.pills.filter(has_text=REASONS["images"])).to_be_visible()
    locked.ask("hello")
    locked.expect_state("complete")
    assert "image_url" not in str(model.requests[-1].body["messages"])


def test_a_locked_export_shows_the_lock_and_offers_nothing(locked: Panel, model: FakeVLLM) -> None:
    locked.open("lab")
    locked.ask("Keep me")
    locked.expect_answer("Keep me")
    expect_lock(locked, "Export Keep me", REASONS["export"])
    locked.root.locator(".jp-Cellar-header .jp-Cellar-export button").click(force=True)
    expect(locked.root.get_by_role("menuitem")).to_have_count(0)


def test_an_open_file_is_shown_with_a_lock_and_does_not_travel(locked: Panel, model: FakeVLLM) -> None:
    locked.lab.write("plan.py", "SECRET_PLAN = 4711\n")
    locked.open("lab/tree/plan.py")
    pill = attached(locked, "file:plan.py")
    expect(pill).to_contain_text(REASONS["attach_files"])
    expect(locked.root.locator(".jp-Cellar-sees")).to_have_text("plan.py is open, but Cellar may not see it.")
    locked.ask("hello")
    locked.expect_state("complete")
    assert "4711" not in str(model.requests[-1].body["messages"])
    locked.button("Remove plan.py").click()
    expect(pill).to_have_count(0)


def test_the_mention_menu_says_what_it_may_not_search_and_attach(locked: Panel) -> None:
    locked.lab.write("plan.py", "SECRET_PLAN = 4711\n")
    searched: list[str] = []
    locked.page.on("request", lambda request: searched.append(request.url) if "/api/search" in request.url else None)
    locked.open("lab/tree/plan.py")
    locked.text.press_sequentially("@plan")
    option = locked.composer.get_by_role("option").filter(has_text="plan.py")
    expect(option).to_have_attribute("aria-disabled", "true")
    expect(option).to_contain_text(REASONS["attach_files"])
    expect(locked.composer.locator(".jp-Cellar-menuNote")).to_contain_text(REASONS["search"])
    option.click(force=True)
    expect(locked.text).to_have_value("@plan")
    assert searched == []
