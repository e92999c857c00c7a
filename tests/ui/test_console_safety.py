"""What others write, send or put around the console's pages does nothing to whoever looks at them; and of two who
change the same thing nobody loses what they typed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterator

import pytest
from cellar_hub.audit.export import FORMULA as STARTS
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.fakes.fixtures import unused_port
from tests.hub.console.site import ConsoleSite
from tests.ui.furnished import EVIL, FORMULA, furnished
from tests.ui.test_console_pages import PAGES, Visitor, contexts

__all__ = ["contexts", "furnished"]
pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]
Visit = Callable[[str], Visitor]


@pytest.fixture
def visit(furnished: ConsoleSite, browser: Browser, contexts: list[BrowserContext]) -> Iterator[Visit]:
    """The policy is afterwards what it was."""
    before = furnished.policy.read_text()
    yield lambda name: Visitor(furnished, browser, contexts, name)
    furnished.policy.write_text(before)


def attack(victim: Visitor, html: str) -> Page:
    """A page of somebody else on the same machine: the worst neighbour, whose requests take all cookies along."""
    address = f"http://127.0.0.1:{unused_port()}/"
    page = victim.page.context.new_page()
    page.route(address, lambda route: route.fulfill(content_type="text/html", body=f"<!doctype html>{html}"))
    page.goto(address)
    return page


def test_nobody_frames_a_page(visit: Visit, furnished: ConsoleSite) -> None:
    admin = visit("admin")
    addresses = [f"{furnished.console}/{path}" for path in PAGES] + [f"{furnished.public}/hub/home"]
    frames = "".join(f'<iframe src="{each.replace("&", "&amp;")}"></iframe>' for each in addresses)
    page = attack(admin, frames)
    page.wait_for_load_state("load")
    shown = [frame.url for frame in page.frames[1:]]
    assert len(shown) == len(addresses) and set(shown) == {"chrome-error://chromewebdata/"}


def deeds_of_administrators(site: ConsoleSite) -> int:
    with contextlib.closing(sqlite3.connect(f"{site.books['CELLAR_DATA']}/cellar.db", timeout=30)) as books:
        by_them = "user_name in ('admin', 'beth') and record not like '%user.login%'"
        found: int = books.execute(f"select count(*) from cellar_audit where {by_them}").fetchone()[0]
    return found


def test_a_form_of_another_page_changes_nothing(visit: Visit, furnished: ConsoleSite) -> None:
    admin = visit("admin")
    policy, deeds = furnished.policy.read_text(), deeds_of_administrators(furnished)
    token = admin.page.locator("input[name=_xsrf]").first.get_attribute("value")
    forged = [
        ("users/ann", {"action": "block"}),
        ("users", {"name": "forged", "admin": "yes"}),
        ("groups", {"name": "forged"}),
        ("policy/default", {"action": "rules", "tokens_per_day": "1"}),
        ("policy", {"text": "[default]"}),
        ("announcements", {"text": "forged", "level": "error", "audience": "all"}),
        ("me", {"action": "stop"}),
        ("audit/verify", {}),
        ("language", {"language": "ko"}),
    ]
    for path, fields in forged:
        inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
        for xsrf in ("", '<input name="_xsrf" value="2|aaaaaaaa|bbbb|1">'):
            form = f'<form method="post" action="{furnished.console}/{path}">{inputs}{xsrf}</form>'
            page = attack(admin, form)
            with page.expect_response(lambda answer: answer.request.method == "POST") as sent:
                page.evaluate("document.forms[0].submit()")
            assert sent.value.status == 403, path
            page.close()
    page = attack(admin, "")
    said = page.evaluate(
        """async (address) => {
          try { return (await fetch(address, { credentials: "include" })).status; } catch { return "refused"; }
        }""",
        f"{furnished.console}/users",
    )
    assert said == "refused", "another origin reads no page"
    assert token, "the forms of the console itself have one"
    assert furnished.policy.read_text() == policy and deeds_of_administrators(furnished) == deeds
    admin.page.reload()
    expect(admin.page.locator("html")).to_have_attribute("lang", "en")


def test_what_others_write_is_text_wherever_it_stands(visit: Visit, furnished: ConsoleSite) -> None:
    alerts: list[str] = []
    seen: set[str] = set()
    for name, paths in (("admin", (*PAGES, "users/ann", "users/yun", "audit?kind=events&user=hub")), ("ann", ("me",))):
        visitor = visit(name)
        visitor.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        for path in paths:
            visitor.open(path)
            made = visitor.page.locator(".evil, img, [onerror], script:not([src]), iframe, object").count()
            assert made == 0, f"{path} has made an element of a text"
            if EVIL in visitor.page.locator("main").inner_text():
                seen.add(f"{name} {path}")
        assert not any("Content Security Policy" in each for each in visitor.complaints)
    assert alerts == []
    wanted = {"users?state=waiting", "users/yun", "users/lee", "groups", "groups/research", "usage?span=month"}
    wanted |= {"overview", "audit", "audit?kind=events", "models", "announcements", "me", "users/ann"}
    missing = wanted - {each.partition(" ")[2] for each in seen}
    assert not missing, "these pages were to show it"


def test_no_cell_of_any_file_is_a_formula(visit: Visit, furnished: ConsoleSite) -> None:
    admin = visit("admin")

    def taken(path: str) -> str:
        answer = admin.page.request.get(f"{furnished.console}/{path}")
        assert answer.status == 200, path
        return answer.text()

    files = [f"usage/export?span=month&by={by}" for by in ("user", "model", "day")]
    for path in (*files, "audit/export", "audit/export?kind=events"):
        rows = list(csv.reader(io.StringIO(taken(path).removeprefix("\ufeff"))))
        cells = [cell for row in rows for cell in row]
        assert len(rows) > 2 and [cell for cell in cells if cell[:1] in STARTS and cell] == [], path
        if "day" not in path:
            assert "'" + FORMULA in cells, path
    lines = [json.loads(line) for line in taken("audit/export?form=jsonl").splitlines()]
    assert {EVIL: FORMULA} in [line["detail"] for line in lines], "a program gets it as it was"


def test_of_two_administrators_the_second_sees_what_the_first_did_and_loses_nothing_typed(
    visit: Visit, furnished: ConsoleSite
) -> None:
    first, second = visit("admin"), visit("beth")
    page, other = second.page, first.page
    features = page.get_by_role("group", name="Features of the panel")
    reason = features.get_by_label("Reason shown to users").first

    def meanwhile(tokens: str) -> None:
        first.open("policy/default")
        other.get_by_label("Tokens a month").fill(tokens)
        other.get_by_role("button", name="Save").click()
        first.flash()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("admin has changed the policy meanwhile")

    second.open("policy/default")
    page.get_by_label("Requests a minute").fill("77")
    reason.fill("soon")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_have_text("Attach files: a reason is read only beside on or off. Choose one.")
    features.get_by_label("Attach files").select_option("off")
    meanwhile("2,000,000")
    expect(page.get_by_label("Requests a minute")).to_have_value("77")
    expect(reason).to_have_value("soon")
    expect(page.get_by_label("Tokens a month")).to_have_value("2,000,000")
    assert "requests_per_minute" not in furnished.policy.read_text()
    page.get_by_role("button", name="Save").click()
    second.flash()
    text = furnished.policy.read_text()
    assert "requests_per_minute = 77" in text and "tokens_per_month = 2000000" in text and "soon" in text
    # the file itself
    second.open("policy")
    field = page.get_by_role("textbox")
    typed = field.input_value() + "\n[groups.typed]\nmax_tokens = 77\n"
    field.fill(typed)
    meanwhile("3,000,000")
    theirs = page.locator(".difference .gone, .difference .added").filter(has_text="tokens_per_month")
    expect(theirs.first).to_be_visible()
    assert "[groups.typed]" in field.input_value()
    # an announcement
    second.open("announcements")
    page.get_by_label("Text").fill("Typed for a long time.")
    page.get_by_label("Level").select_option("warning")
    meanwhile("4,000,000")
    expect(page.get_by_label("Text")).to_have_value("Typed for a long time.")
    expect(page.get_by_label("Level")).to_have_value("warning")
    page.get_by_role("button", name="Save").click()
    second.flash()
    text = furnished.policy.read_text()
    assert "Typed for a long time." in text and "4000000" in text and "[groups.typed]" not in text
