"""A quota, from the gateway's books to the panel."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.docker.site.installation import SHORT, Installation
from tests.docker.site.person import Person

BODY = re.compile(r"Your quota of today: ([\d,]+) of ([\d,]+) tokens used")


def test_the_meter_shows_what_the_gateway_counted(site: Installation, ada: Person) -> None:
    site.policy(SHORT + "tokens_per_day = 1_000_000\n")
    used = site.usage("ada")
    assert used > 0

    def quotas() -> list[dict[str, int]]:
        found: list[dict[str, int]] = ada.ask("GET", "cellar/api/usage").get("quotas") or []
        return [each for each in found if each["window"] == "day"]

    assert [(each["used"], each["limit"]) for each in quotas()] == [(used, 1_000_000)]
    ada.panel.show()
    ada.panel.write("How much is left?")
    ada.panel.root.locator(".jp-Cellar-meterButton").click()
    note = ada.panel.root.locator(".jp-Cellar-breakdownNote").filter(has_text=BODY)
    expect(note).to_contain_text(f"{used:,} of 1,000,000 tokens")
    ada.shot("6-meter")
    ada.panel.root.locator(".jp-Cellar-meterButton").click()
    expect(note).to_be_hidden()


def test_a_quota_that_is_used_up_is_said_with_its_reset_time(site: Installation, ada: Person) -> None:
    site.policy(SHORT + "tokens_per_day = 10\n")
    before = site.usage("ada")
    ada.panel.text.click()
    ada.panel.ask("One more question?")
    ada.panel.expect_state("error", seconds=30)
    card = ada.panel.last_turn
    expect(card).to_contain_text("Your quota is used up")
    expect(card).to_contain_text(re.compile(r"It begins anew at .*\d{1,2}:\d{2}"))
    ada.shot("7-quota")
    assert site.usage("ada") == before, "a refused question costs nothing"
