"""What was asked and answered stays in the user's own volume: a canary is found nowhere on the hub's side."""

from __future__ import annotations

import io
import re
import secrets
import tarfile
from collections.abc import Iterator

import pytest
from cellar_hub.spawner import names
from playwright.sync_api import expect

from tests.docker.site.installation import LONG as LONG_POLICY
from tests.docker.site.installation import SERVICES, SHORT, Installation
from tests.docker.site.person import Person
from tests.docker.site.stream import LONG, Stream

TMP = """
import os, sys
for folder, _, files in os.walk("/tmp"):
    for name in files:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                if sys.argv[1].encode() in file.read():
                    print("FOUND", os.path.join(folder, name))
        except OSError:
            pass
print('"looked"')
"""
METRICS = """
import json, urllib.request as r
print(json.dumps(r.urlopen("http://gateway-control:8090/metrics", timeout=10).read().decode()))
"""


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


def hub_side(site: Installation) -> dict[str, str]:
    """Its containers."""
    return {service: site.service(service) for service in SERVICES}


def files_of(site: Installation, container: str, path: str) -> Iterator[tuple[str, bytes]]:
    """Every file below a path of a container."""
    chunks, _ = site.client.get_archive(container, path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()


def test_no_log_of_a_container_has_it(site: Installation, canary: str) -> None:
    for service, container in hub_side(site).items():
        assert canary.encode() not in site.client.logs(container), service
    for user in ("ada", "ben"):
        assert canary.encode() not in site.client.logs(site.workspace(user)), user


def test_no_volume_but_the_users_own_has_it(site: Installation, canary: str) -> None:
    looked = 0
    for service, container in hub_side(site).items():
        for mount in site.client.inspect_container(container)["Mounts"]:
            if mount["Type"] != "volume":
                continue
            for name, content in files_of(site, container, mount["Destination"]):
                looked += 1
                assert canary.encode() not in content, f"{service}: {mount['Destination']}/{name}"
    assert looked >= 5, "databases, keys and heads were among them"
    own = dict(files_of(site, site.workspace("ada"), "/home/user"))
    assert any(canary.encode() in content for content in own.values()), "the conversation itself is kept there"
    others = files_of(site, site.workspace("ben"), "/home/user")
    assert not [name for name, content in others if canary.encode() in content]


def test_no_layer_of_a_container_has_it(site: Installation, canary: str) -> None:
    containers = hub_side(site) | {user: site.workspace(user) for user in ("ada", "ben")}
    for name, container in containers.items():
        for change in site.client.diff(container) or []:
            if change["Kind"] == 2:  # deleted
                continue
            found = files_of(site, container, change["Path"])
            assert not [file for file, content in found if canary.encode() in content], f"{name}: {change['Path']}"
        assert "FOUND" not in site.run_inside(container, TMP, canary) or name == "ada", name


def test_no_metric_no_audit_row_and_no_answer_of_the_hub_has_it(site: Installation, ada: Person, canary: str) -> None:
    metrics = site.inside(site.service("hub"), METRICS)
    assert "cellar" in metrics
    assert canary not in metrics
    assert canary not in site.command("audit", "export", "--format", "jsonl")
    assert canary not in site.command("users", "list")
    labels = [str(each["Labels"]) for each in site.client.containers(filters={"label": f"{names.SITE}={site.name}"})]
    assert not any(canary in each for each in labels)
