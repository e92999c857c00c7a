"""What the probe makes of what it found."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from cellar_hub.spawner.probe import CLOSED, NAMES, OPEN, Question, engine_warnings, hub_listening, judge

QUESTION = Question(
    services=["hub", "proxy", "gateway"],
    host=[("10.213.0.1", 22)],
    neighbour=("10.213.0.18", 8888),
    hidden=[("172.20.0.2", 8081)],
)
SEALED = {
    "user": 1000,
    "capabilities": 0,
    "no_new_privileges": True,
    "seccomp": True,
    "root_writable": False,
    "home_writable": True,
    "tmp_writable": True,
    "ipv6": [],
    "docker": False,
}


def answer(changes: dict[tuple[str, int], str] | None = None, names: Any = 1.0, **itself: Any) -> dict[str, Any]:
    """The answer of a sealed workspace, changed."""
    states = dict.fromkeys(QUESTION.addresses, "silent")
    states |= dict.fromkeys(OPEN.items(), "open") | dict.fromkeys(CLOSED, "refused") | (changes or {})
    return {
        "reach": [states[each] for each in QUESTION.addresses],
        "answered": ["10.213.0.17"],
        "names": [names] * len(NAMES),
        "itself": SEALED | itself,
    }


def texts(level: str, found: dict[str, Any], question: Question = QUESTION) -> list[str]:
    return [each.text for each in judge(question, found) if each.level == level]


def test_a_sealed_workspace_passes_without_a_word() -> None:
    assert judge(QUESTION, answer()) == []


@pytest.mark.parametrize("state", ["open", "refused"])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        (("1.1.1.1", 443), "the outside"),
        (("10.213.0.1", 22), "the host"),
        (("10.213.0.18", 8888), "another workspace"),
        (("172.20.0.2", 8081), "a network of the hub's own"),
    ],
)
def test_whatever_answers_beyond_the_services_fails_even_by_a_refusal(
    address: tuple[str, int], words: str, state: str
) -> None:
    (text,) = texts("fail", answer({address: state}))
    assert words in text


@pytest.mark.parametrize(("address", "whose"), [("10.213.0.1", "The host"), ("172.20.0.2", "The hub")])
def test_whoever_answers_for_an_address_beyond_the_network_is_told_of(address: str, whose: str) -> None:
    (text,) = texts("warn", answer() | {"answered": [address]})
    assert text.startswith(f"{whose} answers in workspaces' networks for {address}.") and "arp_ignore" in text


@pytest.mark.parametrize("address", CLOSED)
def test_a_services_other_port_fails_when_it_is_open(address: tuple[str, int]) -> None:
    assert texts("fail", answer({address: "open"})) == [
        f"A workspace reaches {address[0]}:{address[1]}, which is not for it."
    ]


def test_a_service_that_cannot_be_reached_fails_and_one_that_is_not_up_yet_warns() -> None:
    assert texts("fail", answer({("hub", 8081): "no name"})) == ["A workspace cannot reach hub:8081 (no name)."]
    late = answer({("gateway", 8080): "refused"})
    assert (texts("fail", late), texts("warn", late)) == ([], ["gateway:8080 does not listen yet."])
    alone = Question(["hub", "proxy"], QUESTION.host, QUESTION.neighbour, QUESTION.hidden)
    gone = answer({("gateway", 8080): "no name"})
    assert (texts("fail", gone, alone), len(texts("warn", gone, alone))) == ([], 1)


def test_a_name_that_leads_somewhere_fails_and_a_slow_failure_warns() -> None:
    assert len(texts("fail", answer(names="93.184.216.34"))) == len(NAMES)
    assert len(texts("warn", answer(names=10.0))) == len(NAMES)


@pytest.mark.parametrize(
    "itself",
    [
        {"user": 0},
        {"capabilities": 1},
        {"no_new_privileges": False},
        {"root_writable": True},
        {"home_writable": False},
        {"tmp_writable": False},
        {"ipv6": ["eth0"]},
        {"docker": True},
    ],
)
def test_a_workspace_that_is_not_hardened_fails(itself: dict[str, Any]) -> None:
    assert len(texts("fail", answer(**itself))) == 1


@pytest.mark.parametrize(
    ("version", "warns"),
    [
        ("20.10.24+dfsg1", True),
        ("23.0.10", True),
        ("23.0.11", False),
        ("24.0.9", True),
        ("25.0.4", True),
        ("25.0.5", False),
        ("26.0.0", False),
        ("29.3.1", False),
        ("unknown", True),
    ],
)
def test_an_old_engine_is_a_warning(version: str, warns: bool) -> None:
    assert [each.level for each in engine_warnings(version)] == (["warn"] if warns else [])


def test_the_hub_gets_its_port_right_after_the_probe_held_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with hub_listening(port):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                assert connection.recv(1) == b""  # the listener closes first: its side lingers
    with socket.create_server(("127.0.0.1", port)):  # as tornado does, with SO_REUSEADDR
        pass


def test_a_hub_that_listens_already_is_left_alone() -> None:
    with socket.create_server(("0.0.0.0", 0)) as hub, hub_listening(hub.getsockname()[1]):
        with socket.create_connection(("127.0.0.1", hub.getsockname()[1]), timeout=5):
            hub.accept()[0].close()
