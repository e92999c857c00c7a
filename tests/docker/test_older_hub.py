"""The same code on JupyterHub 5.5, with real containers. What needs none runs on it as well: tools/older_hub.py."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from cellar_hub.spawner import names

from tests.docker.engine import Hub, Site, wait_for
from tools import older_hub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def packages() -> str:
    """A folder with JupyterHub 5.5, made once beside the environment that runs the tests."""
    problem = older_hub.install()
    if problem:
        pytest.skip(problem)
    return str(older_hub.folder())


@pytest.fixture(scope="module")
def hub(client: docker.APIClient, base: str, workspace_image: str, packages: str) -> Iterator[Hub]:
    site = Site(client, base)
    site.service("proxy", 8000)
    site.service("gateway", 8080, 8090)
    made = Hub(site, workspace_image, "10.199.24.0/26", packages)
    made.start()
    yield made
    site.close()


def test_a_workspace_starts_with_a_token_for_the_models_and_leaves_nothing(hub: Hub) -> None:
    assert "Running JupyterHub version 5.5" in hub.log()
    assert hub.start_server("alice")["ready"]
    own = f"{hub.site.name}-ws-alice"
    code = """
import json, os, urllib.request
request = urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + "/user",
    headers={"Authorization": "token " + os.environ["VLLM_API_KEY"]})
print(json.dumps(json.load(urllib.request.urlopen(request, timeout=5))["scopes"]))
"""
    assert {"custom:llm:chat", "access:services!service=cellar"} <= set(hub.site.inside(own, code))
    hub.stop_server("alice")
    assert own not in hub.site.networks()


def test_what_is_not_offered_is_refused_in_words(hub: Hub) -> None:
    refused = hub.start_server("bob", {"profile": "huge"})
    assert refused["failed"] and "is not offered to you" in refused["message"]
    assert hub.start_server("bob")["ready"]
    hub.stop_server("bob")


def test_a_patch_with_an_unchanged_name_keeps_the_user(hub: Hub) -> None:
    hub.call("POST", "/users/carol")
    assert hub.call("PATCH", "/users/carol", {"name": "carol", "admin": False})[0] == 200
    assert hub.call("GET", "/users/carol")[1]["name"] == "carol"


def test_a_hub_that_is_killed_and_made_again_finds_its_workspaces_running(hub: Hub) -> None:
    hub.start_server("dave")
    before = hub.site.client.inspect_container(names.Names(hub.site.name, "dave").own)
    hub.kill()
    hub.start()
    wait_for(lambda: hub.call("GET", "/users/dave")[1]["servers"].get("", {}).get("ready"), 90, hub.log)
    after = hub.site.client.inspect_container(before["Id"])
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    hub.stop_server("dave")
