"""`python -m cellar_hub.spawner.probe`: does this engine keep workspaces apart? Runs before each start of the hub.

Starts two containers as workspaces are started, from the same image on networks of their own, and asks from inside of
one: hub, proxy and gateway must be there; the internet, the host, the other workspace, and every other port of the
services must not. Exit status 0, or 1 when something is open that must be closed (CELLAR_PROBE=warn: then 0 as well).
What only may be wrong (an old engine, a gateway that is not up yet) is a warning. It also attaches hub, proxy and
gateway to the networks of workspaces that run already: the hub looks for those as soon as it starts. A setting that is
wrong ends it before all that, with status 2 and the setting's name.

Where no image of a workspace is on the machine yet, nothing can be tried. The hub starts, a file says so, and no
workspace starts before a probe has passed: the next one, or that of `cellar-hub check`.

Design note. Rules that were read cannot be trusted on engines nobody tried; a connection that was tried can.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import secrets
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from cellar.settings import SettingsError
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from cellar_hub.interfaces import addresses_here
from cellar_hub.settings import HubSettings
from cellar_hub.spawner import names
from cellar_hub.spawner.creation import PORT, SEALED
from cellar_hub.spawner.networks import Networks, engine_version, epoch
from cellar_hub.startup import check_settings

PATIENCE = 60.0  # seconds for Docker to answer, and for the containers to finish
STALE = 5 * 60.0  # seconds after which what is left of a probe is nobody's any more
OPEN = {"hub": 8081, "proxy": 8000, "gateway": 8080}
CLOSED = (("proxy", 8001), ("gateway", 8090), ("hub", 8000), ("hub", 22))
"""Ports of the services that are for others: the proxy's REST API, the gateway's operations."""
OUTSIDE = (("1.1.1.1", 443), ("8.8.8.8", 53), ("169.254.169.254", 80), ("2606:4700:4700::1111", 443))
HOST_PORTS = (22, 53, 80, 443, 2375, 2376, 8000)
NAMES = ("example.com", "host.docker.internal", "gateway-control", "postgres", "model")
ARP = "A workspace can send packets there, and gets no answer. Set net.ipv4.conf.all.arp_ignore=1 (docs/workspaces.md)."
FLOORS = {23: (23, 0, 11), 25: (25, 0, 5)}
"""First releases that leak no names from internal networks (CVE-2024-29018); from 26 on all do."""


@dataclass(frozen=True)
class Finding:
    """`level`: "fail", "warn"; what was found, as a sentence."""

    level: str
    text: str


def untried(settings: HubSettings) -> Path:
    """The file that is there while nobody knows whether this engine keeps workspaces apart."""
    return settings.data / "engine-untried"


class ProbeNames(names.Names):
    """Names that no user's workspace can have: a slug has no underscore."""

    @property
    def own(self) -> str:
        return f"{self.site}-ws-_{self.user}"


def engine_warnings(version: str) -> list[Finding]:
    """What is known of this version of Docker. Pure."""
    number = engine_version(version)
    if number >= (26, 0, 0) or any(number[0] == major and number >= floor for major, floor in FLOORS.items()):
        return []
    return [
        Finding(
            "warn",
            f"Docker {version} may ask the host's resolver for names from inside of sealed networks (CVE-2024-29018);"
            " 28 or newer is recommended. Workspaces are given a resolver that is not there.",
        )
    ]


@dataclass(frozen=True)
class Question:
    """What is asked from inside."""

    services: Sequence[str]  # those that run
    host: Sequence[tuple[str, int]]
    neighbour: tuple[str, int]
    hidden: Sequence[tuple[str, int]]  # the hub's addresses on networks of its own

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [*OPEN.items(), *CLOSED, *OUTSIDE, *self.host, self.neighbour, *self.hidden]


def judge(question: Question, answer: dict[str, Any]) -> list[Finding]:
    """What the answers mean. Pure."""
    state = dict(zip(question.addresses, answer["reach"], strict=True))
    found: list[Finding] = []

    def fail(text: str) -> None:
        found.append(Finding("fail", text))

    for service, port in OPEN.items():
        how = state[service, port]
        if service not in question.services:
            found.append(Finding("warn", f"No running container is labelled as this site's {service}."))
        elif how in ("silent", "no name"):
            fail(f"A workspace cannot reach {service}:{port} ({how}).")
        elif how == "refused":
            found.append(Finding("warn", f"{service}:{port} does not listen yet."))
    for address in CLOSED:
        if state[address] == "open":
            fail(f"A workspace reaches {address[0]}:{address[1]}, which is not for it.")
    sealed = [
        *((each, "the outside") for each in OUTSIDE),
        *((each, "the host") for each in question.host),
        (question.neighbour, "another workspace"),
        *((each, "a network of the hub's own") for each in question.hidden),
    ]
    for address, what in sealed:
        if state[address] in ("open", "refused"):  # a refusal is an answer: there is a way
            fail(f"A workspace reaches {what}: {address[0]} port {address[1]} ({state[address]}).")
    answered = set(answer["answered"])
    for whose, addresses in (("The host", question.host), ("The hub", question.hidden)):
        if mine := sorted({host for host, _ in addresses} & answered):
            found.append(Finding("warn", f"{whose} answers in workspaces' networks for {', '.join(mine)}. {ARP}"))
    for name, where in zip(NAMES, answer["names"], strict=True):
        if isinstance(where, str):
            fail(f"A workspace resolves the name {name} (to {where}).")
        elif where > 6:
            found.append(Finding("warn", f"The name {name} failed only after {where:.0f} s inside of a workspace."))
    return [*found, *_judge_itself(answer["itself"])]


def _judge_itself(itself: dict[str, Any]) -> list[Finding]:
    wrong = {
        "runs as root": itself["user"] == 0,
        "has capabilities": itself["capabilities"] != 0,
        "may gain privileges": not itself["no_new_privileges"],
        "can write to its image": itself["root_writable"],
        "has IPv6 addresses on " + ", ".join(itself["ipv6"]): bool(itself["ipv6"]),
        "holds Docker's socket": itself["docker"],
        "cannot write to its home": not itself["home_writable"],
        "cannot write to /tmp": not itself["tmp_writable"],
    }
    found = [Finding("fail", f"A workspace {text}.") for text, is_so in wrong.items() if is_so]
    if not itself["seccomp"]:
        found.append(Finding("warn", "Docker runs workspaces without a seccomp filter."))
    return found


class Probe:
    """One run on one engine."""

    def __init__(self, client: docker.APIClient, settings: HubSettings) -> None:
        self._client = client
        self._settings = settings
        self.networks = Networks(client, settings.site, settings.pool)

    def run(self) -> list[Finding]:
        """Raises docker.errors.DockerException when the engine cannot do what is asked, NotFound without an image."""
        image = self._image()
        warnings = engine_warnings(self._client.version()["Version"])
        mark = secrets.token_hex(4)
        one, other = (ProbeNames(self._settings.site, f"probe-{mark}-{which}") for which in "ab")
        try:
            with hub_listening():
                self.networks.make(other, names.PROBE)
                self._start(other, image, {"listen": PORT})
                neighbour = self._neighbour(other)
                network = self.networks.make(one, names.PROBE)
                question = self._question(network, neighbour)
                asked = {"reach": question.addresses, "names": NAMES, "home": self._settings.home}
                self._start(one, image, asked)
                return [*warnings, *judge(question, self._answer(one))]
        finally:
            for each in (one, other):
                self._remove(each.own)

    def versions(self, image: str, packages: Sequence[str]) -> dict[str, str]:
        """Those of an image's packages; empty for one that it lacks. Raises DockerException as `run` does."""
        of = ProbeNames(self._settings.site, f"probe-{secrets.token_hex(4)}-v")
        try:
            self.networks.make(of, names.PROBE)
            self._start(of, image, {"versions": packages})
            return self._answer(of)
        finally:
            self._remove(of.own)

    def _image(self) -> str:
        """The id of the first one that is here: they are all started alike."""
        labels = list(self._settings.images.values())
        for label in labels[:-1]:
            with contextlib.suppress(NotFound):
                return str(self._client.inspect_image(label)["Id"])
        return str(self._client.inspect_image(labels[-1])["Id"])

    def sweep(self, older: float = STALE) -> None:
        """Remove what a probe left that was killed in its midst, if that is so many seconds ago."""
        label = [f"{names.SITE}={self._settings.site}", f"{names.KIND}={names.PROBE}"]
        for volume in self._client.volumes(filters={"label": label})["Volumes"] or []:
            if time.time() - epoch(volume["CreatedAt"]) >= older:
                self._remove(volume["Name"])

    def _question(self, network: str, neighbour: str) -> Question:
        running = self._client.containers(filters={"label": f"{names.SITE}={self._settings.site}"})
        services = [each["Labels"][names.SERVICE] for each in running if names.SERVICE in each["Labels"]]
        own = [each["Subnet"] for each in self._client.inspect_network(network)["IPAM"]["Config"]]
        subnets = [ipaddress.IPv4Network(each) for each in own]
        here = [each for each in addresses_here() if each.ip not in self._settings.pool and not each.ip.is_loopback]
        gateways = {str(each.network_address + 1) for each in [*subnets, *(each.network for each in here)]}
        return Question(
            services=services,
            host=[(gateway, port) for gateway in sorted(gateways) for port in HOST_PORTS],
            neighbour=(neighbour, PORT),
            hidden=[(str(each.ip), OPEN["hub"]) for each in here],
        )

    def _start(self, of: ProbeNames, image: str, asked: dict[str, Any]) -> None:
        script = Path(__file__).with_name("inside.py").read_text()
        self._client.create_volume(of.own, labels=of.labels(names.PROBE))
        host = self._client.create_host_config(
            **SEALED,
            network_mode=of.own,
            mem_limit=256 * 1024**2,
            memswap_limit=256 * 1024**2,
            pids_limit=256,
            tmpfs={"/tmp": "rw,exec,nosuid,nodev,size=16m,mode=1777"},
            binds=[f"{of.own}:{self._settings.home}:rw"],
            runtime=self._settings.runtime or None,
        )
        made = self._client.create_container(
            image,
            entrypoint=["python3"],
            command=["-c", script, json.dumps(asked)],
            name=of.own,
            labels=of.labels(names.PROBE),
            volumes=[self._settings.home],
            host_config=host,
        )
        self._client.start(made["Id"])

    def _neighbour(self, of: ProbeNames) -> str:
        """Its address, once it listens: an answer from nobody would prove nothing."""
        until = time.monotonic() + PATIENCE
        while b"ready" not in self._client.logs(of.own):
            state = self._client.inspect_container(of.own)["State"]
            if time.monotonic() > until or not state["Running"]:
                said = self._client.logs(of.own)[-300:].decode("utf-8", "replace")
                raise DockerException(f"the probe's container did not listen: {said}")
            time.sleep(0.1)
        networks = self._client.inspect_container(of.own)["NetworkSettings"]["Networks"]
        return str(networks[of.own]["IPAddress"])

    def _answer(self, of: ProbeNames) -> dict[str, Any]:
        status = self._client.wait(of.own, timeout=PATIENCE)["StatusCode"]
        said = self._client.logs(of.own)
        if status != 0:
            raise DockerException(f"the probe ended with {status}: {said[-300:].decode('utf-8', 'replace')}")
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def _remove(self, own: str) -> None:
        calls = (
            lambda: self._client.remove_container(own, force=True, v=True),
            lambda: self.networks.remove(own),
            lambda: self._client.remove_volume(own),
        )
        for call in calls:
            with contextlib.suppress(NotFound):
                call()


class Listener(socketserver.ThreadingTCPServer):
    """Closes whatever connects. With the address reusable, as the hub's is: connections that linger for a minute would
    keep the hub from its port otherwise."""

    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def hub_listening(port: int = OPEN["hub"]) -> Iterator[None]:
    """Something where the hub will be, unless it is there already."""
    try:
        server = Listener(("0.0.0.0", port), socketserver.BaseRequestHandler)
    except OSError:
        yield
        return
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def connect(address: str) -> docker.APIClient:
    """Raises DockerException when Docker does not answer for PATIENCE."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return docker.APIClient(address, version="auto", timeout=60)
        except (DockerException, RequestException):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def say(line: str) -> None:
    sys.stderr.write(f"probe: {line}\n")
    sys.stderr.flush()


def check(settings: HubSettings) -> bool:
    """Whether the hub may start; what was found is said."""
    client = connect(settings.docker)
    probe = Probe(client, settings)
    for attached in probe.networks.reconcile()[0]:
        say(f"attached {attached}")
    probe.sweep()
    try:
        found = probe.run()
    except NotFound as error:
        say(f"not run, because the image is not here: {str(error.explanation)[:200]}")
        if settings.probe != "warn":
            untried(settings).touch()
            say("no workspace starts before a probe has passed: load the image, and run `cellar-hub check`.")
        return True
    for each in found:
        say(f"{'FAILED' if each.level == 'fail' else 'warning'}: {each.text}")
    if any(each.level == "fail" for each in found):
        say("workspaces would not be isolated on this engine. docs/workspaces.md says what to do.")
        if settings.probe != "warn":
            return False
        untried(settings).unlink(missing_ok=True)  # the risk is taken
        return True
    untried(settings).unlink(missing_ok=True)
    say("workspaces reach hub, proxy and gateway, and nothing else")
    return True


def main() -> int:
    try:
        settings = HubSettings.from_env(os.environ)
        check_settings(settings)
        return 0 if check(settings) else 1
    except SettingsError as error:
        say(str(error))
        return 2
    except (APIError, DockerException, RequestException) as error:
        said = error.explanation if isinstance(error, APIError) else error
        say(f"Docker could not do it: {str(said)[:500]}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
