"""Workspaces as a real JupyterHub starts them on a real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
import pytest
from cellar_hub.configure import culler
from cellar_hub.policyfile import PolicyFile
from cellar_hub.settings import HubSettings
from cellar_hub.spawner import keeper, names
from cellar_hub.spawner.__main__ import Keeper
from cellar_hub.spawner.addresses import Network4
from cellar_hub.spawner.forwarding import Forwarding
from cellar_hub.spawner.networks import Networks
from docker.errors import NotFound

from tests.docker.engine import HOME, TOKEN, Hub, Site, wait_for

pytestmark = pytest.mark.timeout(300)
POOL = "10.199.16.0/24"


@pytest.fixture(scope="module")
def place(client: docker.APIClient, base: str) -> Iterator[Site]:
    """A site with proxy and gateway, for all tests that do not need their own."""
    made = Site(client, base)
    made.service("proxy", 8000)
    made.service("gateway", 8080, 8090)
    yield made
    made.close()


@pytest.fixture(scope="module")
def hub(place: Site, workspace_image: str) -> Hub:
    made = Hub(place, workspace_image, POOL)
    made.start()
    return made


def workspace(hub: Hub, user: str) -> dict[str, Any]:
    """What Docker says of a user's container."""
    found: dict[str, Any] = hub.site.client.inspect_container(names.Names(hub.site.name, user).own)
    return found


def test_a_workspace_is_sealed_as_docker_shows_it(hub: Hub) -> None:
    assert hub.start_server("alice")["ready"]
    found = workspace(hub, "alice")
    own = f"{hub.site.name}-ws-alice"
    host, config = found["HostConfig"], found["Config"]
    assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges"] and host["ReadonlyRootfs"]
    assert host["Memory"] == host["MemorySwap"] == 256 * 1024**2
    assert host["CpuQuota"] == 50_000 and host["PidsLimit"] == 1024
    assert host["Binds"] == [f"{own}:{HOME}:rw"] and not host["Devices"] and not host["PortBindings"]
    assert host["Dns"] == ["127.0.0.1"] and host["DnsOptions"] == ["timeout:1", "attempts:1"]
    assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert (host["NetworkMode"], host["IpcMode"], host["PidMode"], host["UsernsMode"]) == (own, "private", "", "")
    assert list(found["NetworkSettings"]["Networks"]) == [own]
    assert host["AutoRemove"] is False and host["RestartPolicy"]["Name"] in ("", "no")
    assert config["Image"] == found["Image"] and found["Image"].startswith("sha256:")
    assert config["Labels"][names.USER] == "alice" and config["Labels"][names.KIND] == "workspace"


LOOK = """
import json, os, subprocess, urllib.request
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
def writable(path):
    try:
        with open(path, "w") as file: file.write("#!/bin/sh\\necho ran\\n")
        os.chmod(path, 0o700)
        return True
    except OSError as error:
        return error.strerror
request = urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + "/user",
    headers={"Authorization": "token " + os.environ["VLLM_API_KEY"]})
who = json.load(urllib.request.urlopen(request, timeout=5))
writable("/tmp/run")
print(json.dumps({
    "capabilities": [status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")],
    "no_new_privileges": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(), "uid": os.getuid(),
    "root": writable("/opt/file"), "etc": writable("/etc/file"), "home": writable(os.path.expanduser("~/file")),
    "owner": os.stat(os.path.expanduser("~")).st_uid,
    "run": subprocess.run(["/tmp/run"], capture_output=True, text=True).stdout.strip(),
    "socket": os.path.exists("/var/run/docker.sock"),
    "base": os.environ["VLLM_BASE_URL"], "gateway": os.environ["CELLAR_GATEWAY"],
    "secrets": [name for name, value in os.environ.items() if "-token-0123456789" in value],
    "name": who["name"], "scopes": who["scopes"],
}))
"""


def test_a_workspace_is_sealed_as_it_sees_itself_and_holds_a_token_for_the_models(hub: Hub) -> None:
    hub.start_server("alice")
    found = hub.site.inside(f"{hub.site.name}-ws-alice", LOOK)
    assert set(found["capabilities"]) == {"0000000000000000"}
    assert (found["no_new_privileges"], found["seccomp"], found["uid"], found["owner"]) == ("1", "2", 1000, 1000)
    assert found["root"] == found["etc"] == "Read-only file system"
    assert found["home"] is True and found["run"] == "ran" and found["socket"] is False
    assert (found["base"], found["gateway"]) == ("http://gateway:8080/v1", "1")
    assert found["secrets"] == [] and found["name"] == "alice"
    assert {"custom:llm:chat", "access:services!service=cellar"} <= set(found["scopes"])
    assert not [scope for scope in found["scopes"] if scope.startswith(("admin", "list", "tokens", "servers"))]


def test_a_stop_leaves_the_volume_and_nothing_else_and_the_gateway_is_told(hub: Hub) -> None:
    hub.start_server("bob")
    hub.site.inside(f"{hub.site.name}-ws-bob", "open('kept.txt', 'w').write('mine'); print(1)")
    hub.stop_server("bob")
    own = f"{hub.site.name}-ws-bob"
    assert own not in hub.site.networks()
    with pytest.raises(NotFound):
        hub.site.client.inspect_container(own)
    (gateway,) = hub.site.containers(**{names.SERVICE: "gateway"})
    assert '/revoke token gateway-token-0123456789 {"user": "bob", "server": ""}' in (
        hub.site.client.logs(gateway["Id"]).decode()
    )
    assert hub.start_server("bob")["ready"]
    assert hub.site.inside(own, "print('\"' + open('kept.txt').read() + '\"')") == "mine"


def test_whoever_gets_the_name_of_somebody_who_was_removed_gets_their_files_by_an_administrators_word_alone(
    hub: Hub,
) -> None:
    own, accounts = f"{hub.site.name}-ws-nora", "/cellar/accounts"
    seen = "import os; print('true' if os.path.exists('secret.txt') else 'false')"
    hub.start_server("nora")
    hub.site.inside(own, "open('secret.txt', 'w').write('mine'); print(1)")
    hub.stop_server("nora")
    assert hub.call("DELETE", "/users/nora")[0] == 204
    assert hub.call("POST", accounts, {"name": "nora"})[0] == 409
    told = hub.start_server("nora")  # whom JupyterHub's own API has made again
    assert told["failed"] and "an earlier user of your name" in told["message"]
    assert hub.call("POST", accounts, {"name": "nora", "files": "theirs"})[0] == 201
    assert hub.start_server("nora")["ready"] and hub.site.inside(own, seen) is True
    assert hub.call("DELETE", f"{accounts}/nora")[0] == 204, "with the workspace"
    assert hub.call("POST", accounts, {"name": "nora", "files": "none"})[0] == 201
    assert hub.start_server("nora")["ready"] and hub.site.inside(own, seen) is False
    hub.stop_server("nora")
    assert hub.start_server("nora")["ready"], "with their own"
    hub.stop_server("nora")


@pytest.mark.parametrize("user", ["김철수", "x" * 255, "a.b_c@example.org", "{username}"])
def test_a_user_of_any_name_gets_a_workspace_of_their_own(hub: Hub, user: str) -> None:
    assert hub.start_server(user)["ready"]
    assert workspace(hub, user)["Config"]["Labels"][names.USER] == user
    hub.stop_server(user)


def test_nothing_but_the_profile_of_the_options_counts_or_is_kept(hub: Hub) -> None:
    evil = {"image": "cellar-base:bookworm", "mem_limit": "64G", "volumes": {"/": "/host"}, "profile": "standard"}
    assert hub.start_server("carol", evil)["ready"]
    assert workspace(hub, "carol")["HostConfig"]["Memory"] == 256 * 1024**2
    _, model = hub.call("GET", "/users/carol")
    assert model["servers"][""]["user_options"] == {"profile": "standard"}
    hub.stop_server("carol")


def test_a_profile_that_is_not_offered_is_refused_in_words(hub: Hub) -> None:
    refused = hub.start_server("dave", {"profile": "<b>huge</b>"})
    assert refused["failed"] and "is not offered to you" in refused["message"]
    assert hub.start_server("dave")["ready"]  # and does not stand in the way of the next start
    hub.stop_server("dave")


def test_a_patch_with_an_unchanged_name_keeps_the_user(hub: Hub) -> None:
    hub.call("POST", "/users/erin")
    status, answer = hub.call("PATCH", "/users/erin", {"name": "erin", "admin": False})
    assert status == 200 and answer["name"] == "erin"
    assert hub.call("GET", "/users/erin")[1]["name"] == "erin"


def test_progress_is_told_in_plain_steps(site: Site, workspace_image: str) -> None:
    slow = Hub(site, workspace_image, "10.199.18.0/26", STAND_IN="hang", CELLAR_START_TIMEOUT="12")
    slow.start()
    slow.call("POST", "/users/alice")
    slow.call("POST", "/users/alice/server")
    events = slow.progress("alice")
    steps = [event["message"] for event in events[:-1]]
    assert steps[:2] == ["Server requested", "Choosing image and size"] and steps[-1] == "Waiting for JupyterLab"
    assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
    assert events[-1]["failed"] and "did not answer within 12 seconds" in events[-1]["message"]
    assert site.networks() == [] and not site.containers(**{names.KIND: "workspace"})


def test_a_start_that_fails_shows_the_end_of_the_containers_log_escaped(site: Site, workspace_image: str) -> None:
    broken = Hub(site, workspace_image, "10.199.18.64/26", STAND_IN="fail")
    broken.start()
    event = broken.start_server("alice")
    assert event["failed"] and "exit code 3" in event["message"]
    page = event["html_message"]
    assert "ModuleNotFoundError: No module named &#x27;jupyterhub&#x27;" in page
    assert "<script>" not in page and "\x1b" not in page and "&lt;script&gt;" in page
    assert page.count("line ") < 31
    wait_for(lambda: not site.containers(**{names.KIND: "workspace"}) and not site.networks(), 30, broken.log)


def test_an_image_that_is_not_there_is_said(site: Site) -> None:
    missing = Hub(site, "cellar-test-nothing:1", "10.199.18.128/26")
    missing.start()
    event = missing.start_server("alice")
    assert event["failed"] and "cellar-test-nothing:1 is not on this machine" in event["message"]


def test_a_hub_that_is_killed_and_made_again_finds_its_workspaces_running(site: Site, workspace_image: str) -> None:
    hub = Hub(site, workspace_image, "10.199.18.192/26")
    hub.start()
    hub.start_server("alice")
    before = workspace(hub, "alice")
    hub.kill()
    hub.start(CELLAR_WORKSPACE_MEMORY="300M")
    wait_for(lambda: hub.call("GET", "/users/alice")[1]["servers"].get("", {}).get("ready"), 90, hub.log)
    after = workspace(hub, "alice")
    assert after["Id"] == before["Id"] and after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert hub.site.inside(after["Id"], LOOK)["name"] == "alice"  # the hub has its old name on the old network
    hub.stop_server("alice")
    hub.start_server("alice")
    assert workspace(hub, "alice")["HostConfig"]["Memory"] == 300 * 1024**2  # today's limits


def test_a_socket_filter_that_is_killed_takes_no_workspace_with_it(site: Site, workspace_image: str) -> None:
    hub = Hub(site, workspace_image, "10.199.19.128/26")
    hub.start()
    hub.start_server("alice")
    before = workspace(hub, "alice")
    site.client.kill(hub.filter, "SIGKILL")
    event = hub.start_server("bob")
    assert event["failed"] and "Docker does not answer" in event["message"]
    wait_for(lambda: "next time:" in hub.log(), 90, hub.log)  # the keeper looked meanwhile, and so did the hub's polls
    site.client.remove_container(hub.filter)
    hub.start_filter()
    assert hub.start_server("bob")["ready"]
    assert hub.call("GET", "/users/alice")[1]["servers"][""]["ready"]
    assert workspace(hub, "alice")["State"]["StartedAt"] == before["State"]["StartedAt"]
    hub.stop_server("alice")
    assert site.networks() == [f"{site.name}-ws-bob"]


def test_the_culler_stops_who_is_idle_and_leaves_who_is_active(hub: Hub) -> None:
    for user in ("heidi", "ivan"):
        hub.start_server(user)
    began = datetime.now(UTC)
    later = began + timedelta(minutes=30)  # heidi's server did nothing for longer than the limit before ivan's report
    hub.call("POST", "/users/ivan/activity", {"servers": {"": {"last_activity": later.isoformat()}}})
    given = [
        each for each in culler(HubSettings.from_env(hub.env))[1:] if not each.startswith(("--timeout", "--grace"))
    ]
    command = ["timeout", "60", "python3", *given, "--timeout=1"]
    made = hub.site.client.exec_create(
        hub.id,
        command,
        environment={"JUPYTERHUB_API_TOKEN": TOKEN, "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api"}
        | {"PYTHONPATH": hub.env["PYTHONPATH"]},
    )
    hub.site.client.exec_start(made["Id"], detach=True)
    wait_for(lambda: not hub.call("GET", "/users/heidi")[1]["servers"], 60, hub.log)
    assert hub.call("GET", "/users/ivan")[1]["servers"][""]["ready"]
    hub.stop_server("ivan")


def test_services_that_were_made_again_are_attached_by_the_hubs_keeper_at_once(hub: Hub) -> None:
    site = hub.site
    hub.start_server("grace")
    own = f"{site.name}-ws-grace"
    for service, ports in (("gateway", (8080, 8090)), ("proxy", (8000,))):
        (old,) = site.containers(**{names.SERVICE: service})
        site.client.remove_container(old["Id"], force=True)
        site.service(service, *ports)
        code = f"import socket, json; socket.create_connection(({service!r}, {ports[0]}), timeout=3); print(1)"

        def reaches(code: str = code) -> bool:
            try:
                return bool(site.inside(own, code))
            except AssertionError:
                return False

        wait_for(reaches, 30, hub.log)  # well before the minute's look
    hub.write("routes.json", "{}")  # the proxy that was made again knows nobody
    site.service("proxy", 8000)  # its start is an event
    wait_for(lambda: "/user/grace/" in hub.call("GET", "/proxy")[1], 30, hub.log)
    hub.stop_server("grace")


def test_a_start_that_a_killed_hub_left_is_ended_by_the_next_one(site: Site, workspace_image: str) -> None:
    hub = Hub(site, workspace_image, "10.199.19.0/26", STAND_IN="hang")
    hub.start()
    hub.call("POST", "/users/alice")
    hub.call("POST", "/users/alice/server", None)
    wait_for(lambda: site.containers(**{names.KIND: "workspace"}), 60, hub.log)
    hub.kill()
    hub.start(STAND_IN="")
    wait_for(lambda: not site.containers(**{names.KIND: "workspace"}) and not site.networks(), 90, hub.log)
    assert hub.start_server("alice")["ready"]


def test_nobody_is_removed_while_their_workspace_starts(site: Site, workspace_image: str) -> None:
    hub = Hub(site, workspace_image, "10.199.19.0/26", STAND_IN="hang")
    hub.start()
    hub.call("POST", "/users/dave")
    assert hub.call("POST", "/users/dave/server", {})[0] == 202
    wait_for(lambda: site.containers(**{names.USER: "dave"}), 60, hub.log)
    for path, status in (("/users/dave", 400), ("/cellar/accounts/dave", 409)):
        assert hub.call("DELETE", path)[0] == status
    assert hub.call("GET", "/users/dave")[0] == 200


def test_a_container_that_no_server_of_the_hub_belongs_to_is_removed_by_the_keeper(hub: Hub) -> None:
    site = hub.site
    hub.start_server("frank")
    look = a_keeper(hub)
    ghost, _ = site.neighbour(look.networks.make(names.Names(site.name, "ghost")), 8888)
    before = {each["Id"] for each in site.containers(**{names.KIND: "workspace"})}
    look.look()
    assert list(look.ownerless) == [ghost]
    look.ownerless = {name: first - keeper.CONFIRM for name, first in look.ownerless.items()}
    look.look()
    assert {each["Id"] for each in site.containers(**{names.KIND: "workspace"})} == before - {ghost}
    look.networks.reconcile(young=0)
    assert f"{site.name}-ws-ghost" not in site.networks() and f"{site.name}-ws-frank" in site.networks()
    hub.stop_server("frank")


def test_a_deleted_users_volume_goes_after_the_grace_and_not_before(site: Site, workspace_image: str) -> None:
    hub = Hub(site, workspace_image, "10.199.19.64/26")
    hub.start()
    for user in ("alice", "bob"):
        hub.start_server(user)
        hub.stop_server(user)
    hub.call("DELETE", "/users/alice")
    look = a_keeper(hub)
    look.look()
    file = look.data / "volumes-without-user.json"
    since = json.loads(file.read_text())
    assert list(since) == [f"{site.name}-ws-alice"] and site.client.inspect_volume(f"{site.name}-ws-alice")
    keeper.write_missed(file, {name: first - 30 * keeper.DAY for name, first in since.items()})
    look.look()
    with pytest.raises(NotFound):
        site.client.inspect_volume(f"{site.name}-ws-alice")
    assert site.client.inspect_volume(f"{site.name}-ws-bob")


@pytest.fixture(autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("keeper")


def a_keeper(hub: Hub) -> Keeper:
    """A keeper as the hub starts it, in this process, for which nothing is too young."""
    site = hub.site
    networks = Networks(site.client, site.name, Network4("10.199.16.0/20"))
    return Keeper(
        client=site.client,
        site=site.name,
        networks=networks,
        forwarding=Forwarding(site.client, networks, PolicyFile(None), 0, FOLDER),
        hub_api=f"http://{site.address(hub.id, site.net)}:8081/hub/api",
        token=TOKEN,
        data=FOLDER,
        grace_days=30,
        young=-60,
    )
