"""The start-up probe on a real engine, as the hub's container runs it: it passes, and it notices what is open."""

from __future__ import annotations

from typing import Any

import pytest
from cellar_hub.settings import HubSettings
from cellar_hub.spawner import names
from cellar_hub.spawner.addresses import Network4
from cellar_hub.spawner.networks import Networks
from cellar_hub.spawner.probe import Probe, ProbeNames

from tests.docker.engine import Hub, Site

pytestmark = pytest.mark.timeout(240)
POOL = "10.199.32.0/26"


@pytest.fixture
def hub(site: Site, workspace_image: str) -> Hub:
    """A hub that waits in its container instead of running."""
    made = Hub(site, workspace_image, POOL)
    made.start(command=["sleep", "600"])
    return made


def test_the_probe_passes_on_this_engine_and_leaves_nothing(site: Site, hub: Hub) -> None:
    site.service("proxy", 8000)
    site.service("gateway", 8080)
    status, said = hub.probe()
    assert status == 0, said
    assert "workspaces reach hub, proxy and gateway, and nothing else" in said and "FAILED" not in said
    assert site.networks() == [] and not site.containers(**{names.KIND: "probe"})
    assert not site.client.volumes(filters={"label": f"{names.SITE}={site.name}"})["Volumes"]


def test_the_probe_refuses_when_a_service_shows_what_is_not_for_workspaces(site: Site, hub: Hub) -> None:
    site.service("proxy", 8000, 8001)  # its REST API on all its addresses
    site.service("gateway", 8080, 8090)
    status, said = hub.probe()
    assert status == 1
    assert "FAILED: A workspace reaches proxy:8001" in said and "FAILED: A workspace reaches gateway:8090" in said
    assert hub.probe(CELLAR_PROBE="warn")[0] == 0
    assert site.networks() == []


def test_services_that_are_not_up_yet_are_a_warning(site: Site, hub: Hub) -> None:
    site.service("proxy", 9)  # runs, and does not listen where it should
    status, said = hub.probe()
    assert status == 0, said
    assert "warning: proxy:8000 does not listen yet" in said
    assert "warning: No running container is labelled as this site's gateway" in said


def settings_of(site: Site, image: str) -> dict[str, str]:
    return {
        "CELLAR_SITE": site.name,
        "CELLAR_WORKSPACE_IMAGES": image,
        "CELLAR_WORKSPACE_POOL": POOL,
        "CELLAR_GATEWAY_TOKEN": "gateway-token-0123456789",
        "CONFIGPROXY_AUTH_TOKEN": "proxy-token-0123456789",
    }


CHECK = """
import json, os
from cellar_hub.doctor import places
from cellar_hub.settings import HubSettings
print(json.dumps(dict(places.of_hub(HubSettings.from_env(os.environ), os.environ))["isolation"]()))
"""
"""What `cellar-hub check` says of isolation."""


class LeftOpen(Networks):
    """Networks as an engine makes them whose options nobody understood: internal, but with the host in them."""

    def _create(self, of: names.Names, kind: str, slice_: Network4, options: dict[str, str]) -> bool:
        return super()._create(of, kind, slice_, {})


def test_the_probe_notices_an_engine_that_leaves_the_host_in_a_workspaces_network(
    site: Site, hub: Hub, workspace_image: str
) -> None:
    settings = HubSettings.from_env(settings_of(site, workspace_image))
    probe = Probe(site.client, settings)
    probe.networks = LeftOpen(site.client, site.name, settings.pool)
    failed = [each.text for each in probe.run() if each.level == "fail"]
    assert any("reaches the host: 10.199.32." in text for text in failed), failed


class Killed(Probe):
    """In its midst, with its containers, networks and volumes there."""

    def _answer(self, of: ProbeNames) -> dict[str, Any]:
        raise KeyboardInterrupt

    def _remove(self, own: str) -> None:
        pass


def test_what_a_killed_probe_left_is_removed_by_a_later_one(site: Site, hub: Hub, workspace_image: str) -> None:
    """Its listening container would go on for ever, and keep its network."""
    settings = HubSettings.from_env(settings_of(site, workspace_image))
    with pytest.raises(KeyboardInterrupt):
        Killed(site.client, settings).run()
    assert len(site.containers(**{names.KIND: "probe"})) == 2 and len(site.networks()) == 2
    later = Probe(site.client, settings)
    later.sweep()
    assert len(site.containers(**{names.KIND: "probe"})) == 2  # it may be another's that still runs
    later.sweep(older=0)
    assert site.networks() == [] and not site.containers(**{names.KIND: "probe"})
    assert not site.client.volumes(filters={"label": f"{names.SITE}={site.name}"})["Volumes"]


def test_without_the_image_the_hub_starts_and_says_that_nothing_was_probed(site: Site, hub: Hub) -> None:
    status, said = hub.probe(CELLAR_WORKSPACE_IMAGES="cellar-test-nothing:1")
    assert status == 0 and "not run, because the image is not here" in said


def test_the_first_image_that_is_here_is_tried(site: Site, hub: Hub, workspace_image: str) -> None:
    site.service("proxy", 8000)
    status, said = hub.probe(CELLAR_WORKSPACE_IMAGES=f"new=cellar-test-nothing:1,old={workspace_image}")
    assert status == 0 and "workspaces reach hub, proxy and gateway" in said, said


def test_an_image_that_comes_after_the_probe_starts_no_workspace_before_a_probe_has_passed(
    site: Site, workspace_image: str
) -> None:
    site.service("proxy", 8000)
    site.service("gateway", 8080)
    hub = Hub(site, workspace_image, "10.199.32.64/26")
    hub.start()
    assert hub.probe(CELLAR_WORKSPACE_IMAGES="cellar-test-nothing:1")[0] == 0  # as it was when the hub started
    event = hub.start_server("alice")
    assert event["failed"] and "Nobody has tried yet whether workspaces are kept apart here" in event["message"]
    assert not site.containers(**{names.KIND: "workspace"})
    assert "and nothing else" in site.inside(hub.id, CHECK)
    hub.call("POST", "/users/alice/server", {})
    hub.wait_until_ready("alice")


def test_a_wrong_setting_is_named(site: Site, hub: Hub) -> None:
    status, said = hub.probe(CELLAR_WORKSPACE_POOL="10.0.0.1/8")
    assert status == 2 and "CELLAR_WORKSPACE_POOL must be a network" in said
