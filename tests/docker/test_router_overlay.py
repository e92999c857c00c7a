"""The container of docker-compose.router.yml: vllm-router from its image, hardened as there, before two servers."""

from __future__ import annotations

import re
import shlex

import docker
import pytest

from tests.docker.engine import Site, wait_for
from tests.hub.compose.test_compose import overlay, services
from tools import images

# Its image is made first: a minute where nothing is kept. tests/vllm/contract has the same program before real servers.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ASK = """
import json, urllib.request
def ask(conversation):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key-0123", "X-Session-ID": conversation}
    asked = urllib.request.Request("http://router:8001/v1/chat/completions", body, headers)
    return urllib.request.urlopen(asked).read()
answers = [[ask(f"{number:032x}").decode() for _ in range(2)] for number in range(40)]
print(json.dumps(answers))
"""
LOOK = """
import json, os
def may_write(path):
    try:
        open(os.path.join(path, "x"), "w").close()
    except OSError:
        return False
    return True
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
found = {"user": os.getuid(), "writable": [each for each in ("/", "/opt", "/home", "/tmp") if may_write(each)]}
print(json.dumps(found | {"capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16)}))
"""


@pytest.fixture
def image() -> str:
    try:
        return images.build(images.ROUTER)
    except images.Missing as problem:
        pytest.skip(f"the router's image is missing: {problem}")


@pytest.fixture
def router(site: Site, image: str) -> str:
    service = services(overlay("router"))["router"]
    workers = "http://vllm:8001 http://vllm-2:8001"
    return site.run(
        f"{site.name}-router",
        shlex.split(re.sub(r"\$\{VLLM_ROUTER_WORKERS[^}]*\}", workers, service["command"])),
        {},
        site.net,
        "router",
        image=image,
        read_only=service["read_only"],
        cap_drop=service["cap_drop"],
        security_opt=service["security_opt"],
        tmpfs=dict.fromkeys(service["tmpfs"], ""),
        pids_limit=service["pids_limit"],
        dns=["127.0.0.1"],
    )


def test_it_runs_hardened_and_hands_each_conversation_with_the_key_to_one_of_two_servers(
    client: docker.APIClient, site: Site, router: str
) -> None:
    workers = [site.service(name, 8001) for name in ("vllm", "vllm-2")]

    def ready() -> bool:
        check = services(overlay("router"))["router"]["healthcheck"]["test"][1:]
        made = client.exec_create(router, check)
        client.exec_start(made["Id"])
        return bool(client.exec_inspect(made["Id"])["ExitCode"] == 0)

    wait_for(ready, 60, lambda: site.said_by(router))
    found = site.inside(router, LOOK)
    assert found == {"user": 10001, "writable": ["/tmp"], "capabilities": 0}
    answers = site.inside(workers[0], ASK)
    assert all(first == second for first, second in answers), "a conversation stays"
    assert {first for first, _ in answers} == {"vllm", "vllm-2"}
    assert all("Bearer key-0123" in site.said_by(each) for each in workers)
    assert "hello" not in site.said_by(router)
