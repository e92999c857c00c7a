"""The seal with a real engine in it: containers on networks that lead nowhere have a way out that is counted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import docker
import pytest
from cellar_offline.proving import controls
from cellar_offline.proving.ledger import Attempt
from cellar_offline.proving.seal import HOST, Seal

from tests.docker.engine import wait_for

CALL = """
import socket
while True:
    for port in (443, 8443):
        try:
            socket.create_connection(("telemetry.example.com", port), timeout=1)
        except OSError as error:
            print(error, flush=True)
"""
PROGRAMS = ("dockerd", "runc", "ip", "iptables", "ip6tables")


@pytest.fixture(scope="module")
def seal(base: str, client: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seal]:
    """With the base image in its engine."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [each for each in PROGRAMS if shutil.which(each, path=path) is None]
    if os.geteuid() != 0 or missing:
        reason = f"missing: root, and {', '.join(missing) or 'nothing else'}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with Seal(tmp_path_factory.mktemp("s")) as made:
        with subprocess.Popen(["docker", "save", base], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "load", "-q"], stdin=saved.stdout, env=made.engine.environment, check=True)
        assert saved.returncode == 0
        made.engine.docker("network", "create", "--internal", "inner")
        yield made


def start(seal: Seal, base: str, name: str, network: str, *command: str, dns: str = "127.0.0.1") -> None:
    """As a service of the stack is started: no right to change its network, a resolver that is not there."""
    seal.engine.docker(
        *("run", "-d", "--init", "--read-only", "--cap-drop=ALL", "--name", name, "--network", network),
        *([] if network == "none" else ["--dns", dns]),
        *(base, *command),
    )


def attempts(seal: Seal, container: str) -> dict[str, Attempt]:
    leg = next(each.leg for each in seal.residents.values() if each.name == container)
    return {each.target: each for each in seal.ledger.attempts() if each.leg == leg}


@pytest.mark.timeout(300, func_only=True)
def test_who_calls_from_a_network_that_leads_nowhere_is_counted_and_named(seal: Seal, base: str) -> None:
    start(seal, base, "quiet", "none", "sleep", "600")
    start(seal, base, "caller", "inner", "python3", "-c", CALL)
    first = seal.first_control()
    last, there = seal.control()
    assert {each.name for each in there} == {HOST, "quiet", "caller"}
    for which in (first, last):
        wait_for(lambda which=which: not seal.ledger.missing(which, seal.residents), 30, lambda: str(seal.residents))
    wanted = {"telemetry.example.com A", "telemetry.example.com AAAA", "fd5e:a1ed::1 port 443 tcp"}
    wanted |= {"fd5e:a1ed::1 port 8443 tcp", "198.18.0.1 port 443 tcp", "198.18.0.1 port 8443 tcp"}
    wait_for(lambda: wanted <= set(attempts(seal, "caller")), 30, lambda: str(attempts(seal, "caller")))
    assert all("python3 -c" in attempts(seal, "caller")[each].process for each in wanted)
    assert attempts(seal, "quiet") == attempts(seal, HOST) == {}
    seal.engine.docker("rm", "-f", "caller")
    counted, read, lost = seal.settle()
    assert counted == read
    assert lost == 0
    assert controls.IPV4 not in str(seal.ledger.attempts())


def test_a_container_that_gets_no_way_out_does_not_start(
    seal: Seal, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, container: str) -> None:
        raise OSError("no more legs")

    monkeypatch.setattr(seal.engine, "_created", refuse)
    done = subprocess.run(
        ["docker", "run", "--rm", base, "true"], env=seal.engine.environment, capture_output=True, text=True
    )
    assert done.returncode != 0
