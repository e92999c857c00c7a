"""Nothing that somebody typed is lost where it is refused; and where a log-in fails, the page says how to go on."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator

import httpx
import pytest

from tests.hub.console.site import ConsoleSite
from tests.hub.console.test_pages import based_on_of, page

pytestmark = pytest.mark.timeout(240)
FORMS = {
    "policy": {"text": "[default]\nmax_tokens = 4321\n"},
    "policy/default": {"action": "rules", "tokens_per_day": "12,345", "reason_export": "it stays here"},
    "policy/destinations": {"name": "db.corp", "port": "5432", "to": "10.9.9.9:6432"},
    "announcements": {"text": "tonight", "starts": "2031-01-01T20:00", "ends": "2031-01-02T06:00", "stays": "yes"},
    "groups": {"name": "late-group"},
    "groups/team": {"action": "rules", "tokens_per_month": "67,890"},
    "users": {"name": "late-user"},
    "users/ann": {"action": "rules", "max_tokens": "2,222"},
}


@pytest.fixture(scope="module")
def admin(site: ConsoleSite) -> Iterator[httpx.Client]:
    with contextlib.closing(site.browser("admin")) as browser:
        site.form(browser, "groups", name="team")
        yield browser


def send(site: ConsoleSite, browser: httpx.Client, path: str, origin: str = "", **fields: str) -> httpx.Response:
    """As a browser does whose page was loaded in an earlier session."""
    headers = {"Origin": origin or site.public}
    data = {"_xsrf": "of-an-earlier-session", **fields}
    return browser.post(f"/services/console/{path}", data=data, headers=headers)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_of_an_ended_session_changes_nothing_and_is_shown_again_as_it_was_typed(
    site: ConsoleSite, admin: httpx.Client, path: str
) -> None:
    before, deeds = site.policy.read_text(), len(site.events())
    answer = send(site, admin, path, **FORMS[path])
    assert answer.status_code == 403 and "nothing is done yet" in answer.text
    shown = html.unescape(answer.text)
    for name, value in FORMS[path].items():
        assert name == "action" or value.strip() in shown, name
    assert site.policy.read_text() == before and len(site.events()) == deeds


def test_it_is_sent_once_more_and_counts(site: ConsoleSite, admin: httpx.Client) -> None:
    seen = based_on_of(page(admin, "groups/team"))
    answer = send(site, admin, "groups/team", action="rules", based_on=seen, seen="{}", tokens_per_month="67,890")
    assert based_on_of(answer.text) == seen
    assert "Saved." in site.form(admin, "groups/team", action="rules", based_on=seen, tokens_per_month="67,890").text
    assert "tokens_per_month = 67890" in site.policy.read_text()


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
def test_what_a_page_elsewhere_fills_in_is_not_shown(site: ConsoleSite, admin: httpx.Client, origin: str) -> None:
    answer = send(site, admin, "announcements", origin, text="pay here")
    assert answer.status_code == 403 and "of another session" in answer.text and "pay here" not in answer.text


def test_who_is_logged_out_by_now_can_take_along_what_they_typed(site: ConsoleSite) -> None:
    with httpx.Client(base_url=site.public) as nobody:
        answer = send(site, nobody, "policy", text="[default]\nmax_tokens = 99\n")
    assert answer.status_code == 403 and "Your session has ended" in answer.text
    assert "It is not saved." in answer.text and "max_tokens = 99" in answer.text


def test_while_the_policy_file_is_broken_an_announcement_stays_in_its_form(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    before = site.policy.read_text()
    try:
        site.policy.write_bytes(b"\xff")
        answer = site.form(admin, "announcements", page="groups", text="we mend it", ends="2031-01-02T06:00")
        assert answer.status_code == 400 and "we mend it" in answer.text and "2031-01-02T06:00" in answer.text
    finally:
        site.policy.write_text(before)


def test_a_refused_text_does_not_undo_what_somebody_else_saves_before_it_is_mended(
    site: ConsoleSite, admin: httpx.Client
) -> None:
    seen = based_on_of(page(admin, "policy"))
    refused = site.form(admin, "policy", based_on=seen, text="[default]\nmax_tokens = 0\n")
    assert refused.status_code == 409 and based_on_of(refused.text) == seen
    theirs = site.policy.read_text() + "\n[groups.theirs]\nmax_tokens = 64\n"
    assert "Saved." in site.form(admin, "policy", based_on=seen, text=theirs).text
    late = site.form(admin, "policy", based_on=based_on_of(refused.text), text="[default]\nmax_tokens = 77\n")
    assert late.status_code == 409 and "max_tokens = 77" in late.text and based_on_of(late.text) != seen
    assert site.policy.read_text() == theirs


@pytest.mark.parametrize("ending", ["gone", "no text", "no policy"])
def test_a_policy_file_that_is_gone_or_broken_is_brought_back_from_its_history(
    site: ConsoleSite, admin: httpx.Client, ending: str
) -> None:
    good = site.policy.read_text() + f"\n# before it was {ending}\n"
    saved = site.form(admin, "policy", based_on=based_on_of(page(admin, "policy")), text=good)
    number = saved.text.partition("/services/console/policy/")[2].partition('"')[0]
    if ending == "gone":
        site.policy.unlink()
    else:
        site.policy.write_bytes(b"\xff" if ending == "no text" else b"[[[")
    told = page(admin, "policy")
    assert f"policy/{number}" in told and ("cannot be read" in told or "is gone" in told) and "counts now" not in told
    preview = page(admin, f"policy/{number}")
    assert f"# before it was {ending}" in preview
    back = site.form(admin, f"policy/{number}", based_on=based_on_of(preview))
    assert "again what it was then" in back.text and site.policy.read_text() == good
    deed = [each for each in site.events("file") if each.action == "policy.change"][-1]
    assert (deed.actor, deed.detail["back_to"]) == ("admin", number)
    late = site.form(admin, f"policy/{number}", based_on="gone")
    assert late.status_code == 409, "somebody else has brought it back already"


def test_names_that_a_group_does_not_take_stay_in_its_form(site: ConsoleSite, admin: httpx.Client) -> None:
    answer = site.form(admin, "groups/team", action="join", users="ann nobody-known")
    assert answer.status_code == 409 and 'value="ann nobody-known"' in answer.text


@pytest.mark.parametrize(
    ("language", "again", "forged"),
    [("en", "Log in again", "too long ago"), ("ko", "다시 로그인", "너무 오래된 로그인")],
)
def test_a_log_in_that_went_wrong_ends_on_our_page_which_leads_to_the_next(
    site: ConsoleSite, language: str, again: str, forged: str
) -> None:
    with httpx.Client(base_url=site.public, headers={"Accept-Language": language}) as browser:

        def back(query: str, status: int) -> str:
            answer = browser.get(f"/services/console/oauth_callback{query}")
            assert answer.status_code == status and f'href="/services/console/">{again}</a>' in answer.text
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            return answer.text

        assert forged in back("", 400) and forged in back("?code=x&state=forged", 403)
        assert "evil" not in back("?error=access_denied&error_description=evil", 400)
        begun = browser.get("/services/console/me").headers["location"]
        state = httpx.URL(begun).params["state"]
        assert forged not in back(f"?code=wrong&state={state}", 503), "the hub knows no such code"
