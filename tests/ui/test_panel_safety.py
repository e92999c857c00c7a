"""What a model writes is not trusted."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.panel import Panel


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("html", "end of html"),
        ("script", "end of script"),
        ("javascript_link", "end of links"),
        ("command_linker", "end of commands"),
    ],
)
def test_nothing_in_an_answer_runs(panel: Panel, model: FakeVLLM, answer: str, end: str) -> None:
    model.use(Scenario(answer=answer))
    panel.open()
    panel.ask("go")
    panel.expect_answer(end)
    body = panel.last_answer.locator(".jp-Cellar-markdown")
    expect(body.locator("script, style, iframe, form, button:not([data-cellar-action]), svg[onload]")).to_have_count(0)
    expect(body.locator("[data-commandlinker-command], [onerror], [onclick], a[href^='javascript']")).to_have_count(0)
    for link in body.locator("a").all():
        link.click()
    assert panel.page.evaluate("() => window.pwned") is None


def test_remote_pictures_are_not_loaded(panel: Panel, model: FakeVLLM) -> None:
    asked: list[str] = []
    panel.page.on("request", lambda request: asked.append(request.url))
    model.use(Scenario(answer="remote_image"))
    panel.open()
    panel.ask("go")
    panel.expect_answer("end of images")
    expect(panel.last_answer.locator("img")).to_have_count(0)
    expect(panel.last_answer.get_by_role("link", name="chart")).to_be_visible()
    assert not [url for url in asked if "images.example.invalid" in url]


def test_control_characters_are_shown(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(answer="bidi"))
    panel.open()
    panel.ask("go")
    panel.expect_answer("⟦U+202E⟧")
    model.use(Scenario(answer="ansi"))
    panel.ask("again")
    panel.expect_answer("␛[31mred")


def test_an_endless_line_wraps(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(answer="endless_line"))
    panel.open()
    panel.ask("go")
    expect(panel.last_turn).to_have_attribute("data-state", "complete", timeout=40_000)
    wide = panel.root.locator(".jp-Cellar-transcript").evaluate("node => node.scrollWidth - node.clientWidth")
    assert wide <= 0


def test_links_open_in_a_new_tab_without_a_way_back(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="See [the docs](https://docs.example.invalid/) and [a file](data.csv)."))
    panel.open()
    panel.ask("go")
    panel.expect_answer("See the docs and a file.")
    link = panel.last_answer.get_by_role("link")
    expect(link).to_have_count(1)
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener")
    expect(link).to_have_attribute("referrerpolicy", "no-referrer")
