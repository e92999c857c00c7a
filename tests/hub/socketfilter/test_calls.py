"""Which calls go on: those of the hub, on its own objects, with the full id of what was judged."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cellar_hub.destinations import FIXED_NAMES

from tests.hub.socketfilter.conftest import IMAGE_ID, OURS, FakeEngine, Filter

WORKSPACE, GATEWAY, DATABASE, NETWORK = "1" * 64, "2" * 64, "3" * 64, "b" * 64

PATHS = [
    "/v1.41/containers/../info",
    "/v1.41/containers/cellar-ws-ann/../postgres/start",
    "/v1.41/containers/cellar-ws-ann/%2e%2e/postgres/start",
    "/v1.41/containers/cellar-ws-ann%2f..%2fpostgres/start",
    "/v1.41/containers/cellar-ws-ann%00/start",
    "/v1.41//containers/cellar-ws-ann/start",
    "//v1.41/containers/cellar-ws-ann/start",
    "/v1.41/containers/cellar-ws-ann/start/",
    "/v1.41/./containers/cellar-ws-ann/start",
    "/v1.41/v1.41/containers/cellar-ws-ann/start",
    "/v01.41/containers/cellar-ws-ann/start",
    "/v1.410/containers/cellar-ws-ann/start",
    "/v2.0/containers/cellar-ws-ann/start",
    "/v1.12/containers/cellar-ws-ann/start",
    "/V1.41/containers/cellar-ws-ann/start",
    "/Containers/cellar-ws-ann/start",
    "/containers/cellar-ws-ann/start#/x",
    "/containers/cellar-ws-ann\\start",
    "/containers/cellar-ws-ann;x/start",
    "http://docker/containers/cellar-ws-ann/start",
    "containers/cellar-ws-ann/start",
    "*",
]


@pytest.mark.parametrize("target", PATHS)
async def test_a_path_with_a_trick_reaches_nothing(target: str, door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.call("POST", target)
    assert status in (400, 403)
    assert engine.connections == 0


OTHERS = [
    ("POST", "/containers/cellar-ws-ann/exec"),
    ("POST", "/exec/abc/start"),
    ("POST", "/containers/cellar-ws-ann/attach?stream=1"),
    ("GET", "/containers/cellar-ws-ann/attach/ws"),
    ("GET", "/containers/cellar-ws-ann/archive?path=/"),
    ("PUT", "/containers/cellar-ws-ann/archive?path=/"),
    ("GET", "/containers/cellar-ws-ann/export"),
    ("GET", "/containers/cellar-ws-ann/top"),
    ("GET", "/containers/cellar-ws-ann/changes"),
    ("POST", "/containers/cellar-ws-ann/rename?name=x"),
    ("POST", "/containers/cellar-ws-ann/update"),
    ("POST", "/containers/cellar-ws-ann/resize?h=1"),
    ("POST", "/containers/cellar-ws-ann/copy"),
    ("POST", "/containers/prune"),
    ("POST", "/images/create?fromImage=evil"),
    ("POST", "/images/load"),
    ("POST", "/images/cellar-workspace/tag?repo=x"),
    ("DELETE", "/images/cellar-workspace:dev"),
    ("GET", "/images/json"),
    ("GET", "/images/cellar-workspace:dev/get"),
    ("POST", "/build"),
    ("POST", "/build/prune"),
    ("POST", "/commit?container=cellar-ws-ann"),
    ("POST", "/auth"),
    ("POST", "/session"),
    ("POST", "/grpc"),
    ("GET", "/plugins"),
    ("POST", "/plugins/pull?remote=x"),
    ("POST", "/swarm/init"),
    ("GET", "/swarm"),
    ("GET", "/nodes"),
    ("POST", "/services/create"),
    ("GET", "/secrets"),
    ("GET", "/configs"),
    ("GET", "/tasks"),
    ("GET", "/system/df"),
    ("GET", "/distribution/alpine/json"),
    ("POST", "/networks/prune"),
    ("POST", "/volumes/prune"),
    ("PUT", "/volumes/cellar-ws-ann"),
    ("GET", "/debug/pprof/"),
    ("GET", "/metrics"),
    ("OPTIONS", "/info"),
    ("TRACE", "/info"),
    ("CONNECT", "/info"),
]


@pytest.mark.parametrize(("method", "target"), OTHERS)
async def test_what_a_hub_does_not_need_is_refused(method: str, target: str, door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.call(method, "/v1.41" + target)
    assert status in (400, 403, 411)
    assert engine.connections == 0


QUERIES = [
    "/containers/cellar-ws-ann/start?detachKeys=ctrl-c",
    "/containers/cellar-ws-ann/stop?t=1&t=2",
    "/containers/cellar-ws-ann/stop?t=1;t=2",
    "/containers/cellar-ws-ann/stop?T=1",
    "/containers/cellar-ws-ann/stop?t=abc",
    "/containers/cellar-ws-ann/kill?signal=9%0a",
    "/containers/cellar-ws-ann/stop?t=%ff",
]


@pytest.mark.parametrize("target", QUERIES)
async def test_a_query_that_is_unknown_or_ambiguous_is_refused(target: str, door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.call("POST", target)
    assert status in (400, 403)
    assert engine.connections == 0


async def test_an_action_carries_no_body(door: Filter, engine: FakeEngine) -> None:
    """Old engines took a HostConfig with start."""
    status, _ = await door.call("POST", "/v1.41/containers/cellar-ws-ann/start", {"Privileged": True})
    assert (status, engine.connections) == (400, 0)


@pytest.mark.parametrize("ref", ["cellar-ws-ann", WORKSPACE, WORKSPACE[:12]])
@pytest.mark.parametrize("action", ["start", "stop?t=3", "kill?signal=SIGTERM", "wait?condition=next-exit"])
async def test_a_workspace_is_steered_by_its_full_id(ref: str, action: str, door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.call("POST", f"/v1.41/containers/{ref}/{action}")
    assert (status, engine.acted) == (200, [("POST", f"/v1.41/containers/{WORKSPACE}/{action}", None)])


NOT_OURS = ["postgres", DATABASE, DATABASE[:12], "cellar-ws-bob", "cellar-ws-eve"]


@pytest.mark.parametrize("ref", [*NOT_OURS, "cellar_gateway_1"])
@pytest.mark.parametrize("action", ["start", "stop", "kill", "wait", "logs", "stats", "remove"])
async def test_no_other_container_is_steered(ref: str, action: str, door: Filter, engine: FakeEngine) -> None:
    """Not by name, not by id, not one with our name and no label, nor one with another site's label."""
    method = {"logs": "GET", "stats": "GET", "remove": "DELETE"}.get(action, "POST")
    path = f"/v1.41/containers/{ref}" + ("" if action == "remove" else f"/{action}")
    status, _ = await door.call(method, path)
    assert (status, engine.acted) == (403, [])


@pytest.mark.parametrize("ref", NOT_OURS)
async def test_no_other_container_is_looked_at(ref: str, door: Filter) -> None:
    status, answer = await door.call("GET", f"/v1.41/containers/{ref}/json")
    assert status == 403
    assert "Id" not in answer


async def test_a_container_that_is_not_there_is_told_as_the_engine_tells_it(door: Filter) -> None:
    status, answer = await door.call("GET", "/v1.41/containers/cellar-ws-nobody/json")
    assert (status, answer) == (404, {"message": "No such container: cellar-ws-nobody"})
    assert door.log == []


async def test_a_service_is_looked_at_without_its_environment(door: Filter, engine: FakeEngine) -> None:
    engine.objects["containers"][GATEWAY]["Config"]["Cmd"] = ["secret-of-the-gateway"]
    status, found = await door.call("GET", "/v1.41/containers/cellar_gateway_1/json")
    assert (status, found["Id"]) == (200, GATEWAY)
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("path", ["/containers/json", "/networks", "/events"])
async def test_a_list_is_asked_for_with_our_label(path: str, door: Filter, engine: FakeEngine) -> None:
    engine.stream.put_nowait(None)
    filters = quote(json.dumps({"label": ["org.cellar.kind=workspace"]}))
    status, _ = await door.call("GET", f"/v1.40{path}?filters={filters}")
    assert status == 200
    found = json.loads(parse_qs(urlsplit(engine.acted[0][1]).query)["filters"][0])
    assert found == {"label": ["org.cellar.kind=workspace", "org.cellar.site=cellar"]}


@pytest.mark.parametrize("filters", ['{"label":{"a":true}}', '{"label":["a"],"label":[]}', "[]", '{"LABEL":["a"]}'])
async def test_filters_in_another_form_are_refused(filters: str, door: Filter, engine: FakeEngine) -> None:
    status, _ = await door.call("GET", "/v1.41/containers/json?filters=" + quote(filters))
    assert status in (400, 403)
    assert engine.connections == 0


async def test_the_list_of_volumes_is_cut_down_to_ours(door: Filter) -> None:
    status, found = await door.call("GET", "/v1.41/volumes")
    assert (status, [v["Name"] for v in found["Volumes"]]) == (
        200,
        ["cellar-ws-ann", "cellar-ws-host", "cellar-ws-x_db"],
    )


async def test_an_allowed_image_is_looked_at_by_name_or_id(door: Filter, engine: FakeEngine) -> None:
    for ref in ("cellar-workspace:dev", IMAGE_ID):
        status, found = await door.call("GET", f"/v1.41/images/{ref}/json")
        assert (status, found["Id"]) == (200, IMAGE_ID)
    assert (await door.call("GET", "/v1.41/images/alpine/json"))[0] == 403


async def test_services_and_workspaces_may_be_attached_to_our_networks(door: Filter, engine: FakeEngine) -> None:
    body = {"Container": "cellar_gateway_1", "EndpointConfig": {"Aliases": ["gateway"], "IPAMConfig": {}}}
    status, _ = await door.call("POST", "/v1.41/networks/cellar-ws-ann/connect", body)
    assert status == 200
    assert engine.acted == [("POST", f"/v1.41/networks/{NETWORK}/connect", body | {"Container": GATEWAY})]


@pytest.mark.parametrize(
    ("network", "body"),
    [
        ("cellar_inner", {"Container": "cellar-ws-ann"}),
        ("bridge", {"Container": "cellar-ws-ann"}),
        ("cellar-ws-ann", {"Container": "postgres"}),
        ("cellar-ws-ann", {"Container": "cellar-ws-bob"}),
        ("cellar-ws-ann", {"Container": "../containers/postgres"}),
        ("cellar-ws-ann", {"Container": "cellar_gateway_1", "EndpointConfig": {"DriverOpts": {"a": "b"}}}),
        ("cellar-ws-ann", {"Container": "cellar_gateway_1", "EndpointConfig": {"Links": ["postgres:db"]}}),
        (
            "cellar-ws-ann",
            {"Container": "cellar_gateway_1", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.0.0.5"}}},
        ),
        ("cellar-ws-ann", {}),
    ],
)
async def test_nothing_else_is_attached_to_anything(
    network: str, body: dict[str, Any], door: Filter, engine: FakeEngine
) -> None:
    status, _ = await door.call("POST", f"/v1.41/networks/{network}/connect", body)
    assert status in (403, 404)
    assert engine.acted == []


def connecting(container: str, *aliases: Any) -> dict[str, Any]:
    return {"Container": container, "EndpointConfig": {"Aliases": list(aliases)}}


async def test_a_forwarder_is_attached_under_the_names_of_destinations(door: Filter, engine: FakeEngine) -> None:
    body = connecting("cellar_forwarder-1_1", "warehouse.corp", "a" * 63 + ".b-2.corp", "wiki")
    assert (await door.call("POST", "/v1.41/networks/cellar-ws-ann/connect", body))[0] == 200
    assert engine.acted[0][2] == body | {"Container": "6" * 64}


@pytest.mark.parametrize(
    ("container", "alias"),
    [
        *(("cellar_forwarder-1_1", name) for name in sorted(FIXED_NAMES)),
        *(("cellar_forwarder-1_1", name) for name in ("a.localhost", "10.1.2.3", "a_b", "a..b", "-a", "a-", "A", "")),
        ("cellar_forwarder-1_1", "a" * 64),
        ("cellar_forwarder-1_1", "a." * 127 + "a"),
        ("cellar_forwarder-1_1", 7),
        ("cellar_gateway_1", "hub"),
        ("cellar_gateway_1", "warehouse.corp"),
        ("cellar-ws-ann", "gateway"),
        ("cellar-ws-ann", "warehouse.corp"),
    ],
)
async def test_nothing_is_attached_under_a_name_that_is_not_its_own(
    container: str, alias: Any, door: Filter, engine: FakeEngine
) -> None:
    body = connecting(container, alias)
    assert (await door.call("POST", "/v1.41/networks/cellar-ws-ann/connect", body))[0] == 403
    assert engine.acted == []


@pytest.mark.parametrize("action", ["disconnect", "remove", "inspect"])
async def test_a_network_of_others_is_left_alone(action: str, door: Filter, engine: FakeEngine) -> None:
    body = {"Container": "postgres", "Force": True} if action == "disconnect" else None
    method = {"disconnect": "POST", "remove": "DELETE", "inspect": "GET"}[action]
    path = "/v1.41/networks/cellar_inner" + ("/disconnect" if body else "")
    status, _ = await door.call(method, path, body)
    assert (status, engine.acted) == (403, [])


async def test_a_volume_is_removed_only_when_it_is_a_workspaces(door: Filter, engine: FakeEngine) -> None:
    assert (await door.call("DELETE", "/v1.41/volumes/cellar-ws-ann?force=False"))[0] == 200
    for name in ("cellar-ws-host", "cellar-ws-x_db", "cellar_database", "cellar-wheelhouse"):
        assert (await door.call("DELETE", f"/v1.41/volumes/{name}"))[0] == 403
    assert len(engine.acted) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"Name": "cellar_database"},
        {"Driver": "nfs"},
        {"DriverOpts": {"type": "none", "o": "bind", "device": "/"}},
        {"Labels": {}},
        {"Labels": OURS | {"org.cellar.service": "gateway"}},
        {"Labels": OURS | {"com.docker.compose.project": "cellar"}},
        {"Name": "cellar-ws-host"},
    ],
)
async def test_a_volume_is_made_without_options(change: dict[str, Any], door: Filter, engine: FakeEngine) -> None:
    body: dict[str, Any] = {"Name": "cellar-ws-new", "Driver": "local", "Labels": OURS}
    assert (await door.call("POST", "/v1.41/volumes/create", body))[0] == 200
    assert (await door.call("POST", "/v1.41/volumes/create", body | change))[0] == 403
    assert len(engine.acted) == 1
