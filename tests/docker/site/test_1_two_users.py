"""Two people log in, and each has a workspace, a panel and the model for themselves."""

from __future__ import annotations

import re
import stat

from playwright.sync_api import expect

from tests.docker.site.installation import Installation
from tests.docker.site.person import Person

ADAS = "Ada asks: name three colours."
BENS = "Ben asks: name three animals."
ANSWER = 180_000  # ms: the embedded model shares two cores with everything else

WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
HOME = "import json, pathlib; print(json.dumps(sorted(p.name for p in pathlib.Path.home().iterdir())))"


def test_make_hub_says_where_the_hub_is_and_where_the_password_is(site: Installation) -> None:
    assert f"\nCellar Hub is ready: {site.url}/\n" in site.said
    assert f"Log in as admin; the password is in {site.stack.password} (only you can read it)." in site.said
    assert stat.S_IMODE(site.stack.password.stat().st_mode) == 0o600
    assert site.passwords["admin"] not in site.said


def test_two_users_chat_at_once_each_from_a_container_of_their_own(
    site: Installation, two: tuple[Person, Person]
) -> None:
    ada, ben = two
    assert site.workspace("ada") != site.workspace("ben")
    ada.panel.ask(ADAS)
    ben.panel.ask(BENS)
    for person in two:
        expect(person.panel.last_turn).to_have_attribute("data-state", re.compile("complete|length"), timeout=ANSWER)
        expect(person.panel.last_answer).not_to_be_empty()
        person.shot(f"4-answer-{person.name}")
        assert site.usage(person.name) > 0, "the gateway's books know who asked"


def test_neither_sees_the_conversations_of_the_other(two: tuple[Person, Person]) -> None:
    ada, ben = two
    assert len(ada.conversations()) == len(ben.conversations()) == 1
    [hers] = ada.conversations()
    status, _ = ben.fetch("GET", ben.url(f"cellar/api/conversations/{hers['id']}"))
    assert status == 404
    assert "Ada" not in str(ben.conversations())
    assert "Ben" not in str(ada.conversations())


def test_neither_sees_the_files_of_the_other(site: Installation, two: tuple[Person, Person]) -> None:
    for name in ("ada", "ben"):
        site.run_inside(site.workspace(name), WRITE, f"/home/user/of-{name}.txt", name)
    assert "of-ada.txt" in site.inside(site.workspace("ada"), HOME)
    assert "of-ada.txt" not in site.inside(site.workspace("ben"), HOME)
    for person, other in (two, two[::-1]):
        listed = [each["name"] for each in person.ask("GET", "api/contents")["content"]]
        assert f"of-{person.name}.txt" in listed
        assert f"of-{other.name}.txt" not in listed


def test_nobody_is_let_into_the_server_of_another(two: tuple[Person, Person]) -> None:
    for person, other in (two, two[::-1]):
        for path in ("lab", "api/contents", "cellar/api/conversations", f"files/of-{other.name}.txt"):
            answer = person.context.request.get(other.url(path))
            assert answer.status in (403, 404), f"{path} answered {answer.status}"
            assert other.name not in answer.text() or answer.status == 403
        assert person.context.request.get(person.url("api/contents")).status == 200


OTHERS = """
import json, os, sys, urllib.error, urllib.request as r
def status(url):
    try:
        ask = r.Request(url, headers={"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]})
        return r.urlopen(ask, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps([status(url) for url in sys.argv[1:]]))
"""


def test_a_workspaces_token_opens_nothing_of_another_user(site: Installation, two: tuple[Person, Person]) -> None:
    assert site.me("ada")["user"] == "ada"
    hub = "http://hub:8081/hub/api"
    urls = ["http://proxy:8000/user/ben/api/contents", f"{hub}/users/ben", f"{hub}/users", f"{hub}/users/ben/tokens"]
    assert all(code in (403, 404) for code in site.inside(site.workspace("ada"), OTHERS, *urls))
