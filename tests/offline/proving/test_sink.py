"""A process in a network namespace of its own stands for a container; sink and resolver are the real ones."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from cellar_offline.proving import controls, namespaces, processes
from cellar_offline.proving.ledger import Attempt, Ledger
from cellar_offline.proving.packets import Packet
from cellar_offline.proving.resolver import UNREADABLE, Resolver
from cellar_offline.proving.sink import IPV4, Sink

from tests.ui.lab import wait_until

PROGRAMS = ("ip", "iptables", "ip6tables")


@dataclass
class Lab:
    sink: Sink
    ledger: Ledger
    container: subprocess.Popen[str]
    namespace: int
    leg: int

    def do(self, call: Callable[[], object]) -> None:
        namespaces.within(self.namespace, call)

    def attempts(self) -> dict[str, Attempt]:
        return {each.target: each for each in self.ledger.attempts()}

    def expect(self, target: str) -> Attempt:
        wait_until(lambda: target in self.attempts(), f"{target} to be counted")
        return self.attempts()[target]


def send(data: bytes, address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.sendto(data, (address, port))


def ping() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sending:
        sending.sendto(bytes([8, 0, 0xF7, 0xFF, 0, 0, 0, 0]), ("192.0.2.7", 0))


CALLER = """
import socket, sys
held = []
for line in sys.stdin:
    family, address, port = line.split()
    held.append(socket.socket(getattr(socket, family)))
    held[-1].setblocking(False)
    held[-1].connect_ex((address, int(port)))
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [each for each in PROGRAMS if shutil.which(each, path=path) is None]
    if sys.platform != "linux" or os.geteuid() != 0 or missing:
        pytest.skip(f"missing: root on Linux, with {', '.join(PROGRAMS)}")
    box: list[int] = []

    def who(_: int, packet: Packet | None) -> str:
        return processes.who_asks(box[0]) if packet is None else processes.who_sent(box[0], packet)

    ledger = Ledger(who)
    sink = Sink(ledger.packet)
    resolver = Resolver(ledger.lookup)
    sink.open()
    resolver.open(sink.namespace)
    namespace = namespaces.make()
    command = [sys.executable, "-IS", "-c", CALLER]
    container = namespaces.within(
        namespace, lambda: subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
    )
    box.append(container.pid)
    namespaces.within(namespace, lambda: namespaces.ip(["link set lo up"]))
    leg = sink.lead(namespace)
    resolver.open_within(namespace, leg.number)
    yield Lab(sink, ledger, container, namespace, leg.number)
    container.communicate()
    resolver.close()
    sink.close()
    os.close(namespace)


def test_calls_of_both_kinds_are_dropped_counted_and_told_with_their_process(lab: Lab) -> None:
    assert lab.container.stdin is not None
    lab.container.stdin.write("AF_INET 192.0.2.7 443\nAF_INET6 2001:db8::7 8443\n")
    lab.container.stdin.flush()
    for target in ("192.0.2.7 port 443 tcp", "2001:db8::7 port 8443 tcp"):
        found = lab.expect(target)
        assert (found.leg, found.kind) == (lab.leg, "connection")
        assert found.process.startswith(f"{lab.container.pid} {sys.executable}")
    for address, port in (("224.0.0.251", 5353), ("192.0.2.7", 443)):
        lab.do(lambda address=address, port=port: send(b"x", address, port))
        lab.expect(f"{address} port {port} udp")
    lab.do(ping)
    lab.expect("192.0.2.7 icmp")
    wait_until(lambda: lab.sink.counted() == {version: lab.sink.count[version] for version in (4, 6)}, "both to agree")
    assert lab.sink.lost() == 0


@pytest.mark.parametrize("resolver", ["127.0.0.1", "9.9.9.9", "2001:db8::35"])
def test_whichever_resolver_is_asked_the_name_is_written_down_and_led_to_the_sink(lab: Lab, resolver: str) -> None:
    answers: list[bytes] = []

    def ask() -> None:
        family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.connect((resolver, 53))
            asking.send(controls.lookups.question("pypi.example.org"))
            answers.append(asking.recv(512))  # from whom was asked, or a connected socket would not take it

    lab.do(ask)
    assert answers[0].endswith(socket.inet_aton(IPV4))
    found = lab.expect("pypi.example.org A")
    assert (found.leg, found.name) == (lab.leg, "pypi.example.org")
    assert lab.sink.counted() == {4: 0, 6: 0}


def test_a_name_that_docker_is_asked_for_is_written_down_though_it_asks_nobody_else(lab: Lab) -> None:
    for name in ("mirror.example.net", "hub-control"):
        lab.do(lambda name=name: send(controls.lookups.question(name), "127.0.0.11", 40053))
    assert lab.expect("mirror.example.net A").leg == lab.leg
    near = lab.expect("hub-control A")  # the stack's own, which Docker knows; told apart, the report decides
    assert (lab.attempts()["mirror.example.net A"].kind, near.kind) == ("lookup", "name")


def test_a_name_that_docker_is_asked_for_by_tcp_is_written_down_too(lab: Lab) -> None:
    question = controls.lookups.question("tcp.example.net")

    def ask(*pieces: bytes) -> None:
        with socket.create_server(("127.0.0.11", 40053)) as docker, socket.socket() as asking:
            asking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asking.connect(("127.0.0.11", 40053))
            for piece in pieces:
                asking.sendall(piece)
            docker.accept()[0].close()

    lab.do(lambda: ask(len(question).to_bytes(2, "big") + question))
    assert lab.expect("tcp.example.net A").kind == "lookup"
    lab.do(lambda: ask(len(question).to_bytes(2, "big"), question))
    wait_until(lambda: lab.attempts()["tcp.example.net A"].count == 2, "the question in two pieces to be told")
    lab.do(lambda: ask(b"GET / HTTP/1.0"))
    assert lab.expect(UNREADABLE).leg == lab.leg


def test_what_comes_to_the_resolvers_port_and_is_no_question_is_told_as_well(lab: Lab) -> None:
    lab.do(lambda: send(b"news", "192.0.2.7", 53))
    assert lab.expect(UNREADABLE).leg == lab.leg

    def say_nothing() -> None:
        socket.create_connection(("192.0.2.8", 53), timeout=5).close()

    lab.do(say_nothing)
    wait_until(lambda: lab.attempts()[UNREADABLE].count == 2, "the silent connection to be told")


@pytest.mark.parametrize("said", [b"", b"\0", b"\0\x20abc"])
def test_a_connection_to_the_resolvers_port_that_waits_for_us_to_speak_is_told_as_well(
    lab: Lab, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar_offline.proving.resolver.PATIENCE", 0.2)
    held: list[socket.socket] = []
    lab.do(lambda: held.append(socket.create_connection(("192.0.2.8", 53), timeout=5)))
    held[0].sendall(said)
    assert lab.expect(UNREADABLE).leg == lab.leg
    held[0].close()


def test_a_control_is_counted_as_one_and_what_was_not_done_is_missing(lab: Lab) -> None:
    which = lab.ledger.begin()
    wanted = [(lab.leg, kind) for kind in controls.KINDS]
    assert lab.ledger.missing(which, [lab.leg]) == wanted
    lab.do(lambda: controls.connect(which))
    wait_until(lambda: lab.ledger.missing(which, [lab.leg]) == wanted[2:], "the connections to be counted")
    lab.do(lambda: controls.look_up("127.0.0.1", which.name(lab.leg)))
    assert lab.ledger.missing(which, [lab.leg]) == []
    assert lab.ledger.attempts() == []
    assert lab.ledger.missing(lab.ledger.begin(), [lab.leg]) == wanted  # another round is another question
