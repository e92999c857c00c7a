"""What was asked and answered stays in the user's own volume: a canary is found nowhere on the hub's side."""

from __future__ import annotations

import re
import secrets

import pyrage
import pytest
from playwright.sync_api import expect

from tests.docker.site.installation import LONG as LONG_POLICY
from tests.docker.site.installation import SHORT, Installation
from tests.docker.site.keeping import Keeping
from tests.docker.site.person import Person
from tests.docker.site.stream import LONG, Stream
from tests.docker.site.traces import files_of, hub_side, in_layers, in_logs, in_volumes, in_words


@pytest.fixture(scope="module")
def canary(site: Installation, two: tuple[Person, Person]) -> str:
    """A word that was in questions and in answers, through the panel, a client, a refusal and a hang-up."""
    word = f"Canary{secrets.token_hex(8)}"
    ada, _ = two
    site.policy(LONG_POLICY)
    site.give_the_model(0)
    question = [{"role": "user", "content": f"What is {word}?"}]
    # the real model says exactly this, because a grammar lets it say nothing else
    with Stream.inside(site, "ada", messages=question, max_tokens=60, grammar=f'root ::= "{word} it is"') as stream:
        assert stream.wait_for_end().startswith("done")
        assert word in stream.text, "the answer has the word, too"
    with Stream.inside(site, "ada", messages=question, **LONG) as stream:
        stream.wait_for_text()
    with Stream.inside(site, "ada", messages=question, max_tokens="many", model=word) as stream:
        assert "status 4" in stream.wait_for_end() or any(line.startswith("status 4") for line in stream.lines)
    site.policy(SHORT)
    ada.panel.show()
    ada.panel.ask(f"Please repeat: {word}")
    expect(ada.panel.last_turn).to_have_attribute("data-state", re.compile("complete|length"), timeout=150_000)
    return word


def everybody(site: Installation) -> dict[str, str]:
    return hub_side(site) | {user: site.workspace(user) for user in ("ada", "ben")}


def test_no_log_of_a_container_has_it(site: Installation, canary: str) -> None:
    assert in_logs(site, canary, everybody(site)) == []


def test_no_volume_but_the_users_own_has_it(site: Installation, canary: str) -> None:
    found, looked = in_volumes(site, canary, hub_side(site))
    assert found == []
    assert looked >= 5, "databases, keys and heads were among them"
    own = dict(files_of(site, site.workspace("ada"), "/home/user"))
    assert any(canary.encode() in content for content in own.values()), "the conversation itself is kept there"
    others = files_of(site, site.workspace("ben"), "/home/user")
    assert not [name for name, content in others if canary.encode() in content]


def test_no_layer_of_a_container_has_it(site: Installation, canary: str) -> None:
    """Ada's own workspace may keep it in memory: a kernel's or JupyterLab's files of a while."""
    found = in_layers(site, canary, everybody(site))
    assert not [each for each in found if not each.startswith("ada: /tmp/")]


def test_no_metric_no_audit_row_and_no_answer_of_the_hub_has_it(site: Installation, ada: Person, canary: str) -> None:
    assert in_words(site, canary) == []


def test_no_backup_has_it_unless_it_is_asked_for_and_then_encrypted(site: Installation, canary: str) -> None:
    keeping = Keeping.beside(site)
    key = pyrage.x25519.Identity.generate()
    closed = ("--volumes", "--conversations", "--recipient", str(key.to_public()))
    for name, options in (("site", ()), ("users", ("--volumes",)), ("all", closed)):
        target = site.folder / f"{name}.tar"
        keeping.done("backup", "--to", str(target), *options)
        assert canary.encode() not in target.read_bytes(), name
    assert canary.encode() in pyrage.decrypt(target.read_bytes(), [key]), "it is looked for where it can be found"
