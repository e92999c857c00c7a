"""The magics in a workspace's notebook, without any set-up by its user."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.docker.site.person import Person


def test_ai_in_a_cell_answers(ada: Person) -> None:
    ada.open_notebook("magics.ipynb", "%%ai\nSay hello.")
    output = ada.run_cell(0)
    card = output.locator(".jp-Cellar-card")
    expect(card).to_have_attribute("data-state", re.compile("complete|length"), timeout=90_000)
    expect(card).not_to_be_empty()
    ada.shot("5-magics")
