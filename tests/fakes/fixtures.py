"""Fixtures named like troubles. `model` is a fresh fake vLLM; the others are the same server in a bad mood."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.vllm import FakeVLLM, running


@pytest.fixture(scope="session")
def _one_fake() -> Iterator[FakeVLLM]:
    with running() as fake:
        yield fake


@pytest.fixture
def model(_one_fake: FakeVLLM) -> FakeVLLM:
    """A strict fake vLLM that repeats the question; one process-wide server, as new for each test."""
    _one_fake.reset()
    return _one_fake


@pytest.fixture
def gated_model(model: FakeVLLM) -> FakeVLLM:
    """Says "one two three four five six", each token when the test releases it."""
    model.use("gated")
    return model


@pytest.fixture
def slow_model(model: FakeVLLM) -> FakeVLLM:
    """Prefills until the test releases it."""
    model.use("slow_prefill")
    return model


@pytest.fixture
def silent_model(model: FakeVLLM) -> FakeVLLM:
    """Takes the request and never says anything."""
    model.use("silent")
    return model


@pytest.fixture
def broken_model(model: FakeVLLM) -> FakeVLLM:
    """Cuts the connection in the middle of its answer."""
    model.use("cut")
    return model


PORTS = range(12_000, 32_000)
"""Below those that the system gives to connections: one of them could be another's before its server is there."""
AT_A_TIME = 200  # ports of one process of tests


def _own_ports() -> Iterator[int]:
    """Ports that no other process of tests has while this one lives: each block is held by a lock on a file."""
    folder = Path(tempfile.gettempdir(), f"cellar-tests-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    for first in PORTS[::AT_A_TIME]:
        held = os.open(folder / str(first), os.O_CREAT | os.O_RDWR)  # and not let go: the process's end does that
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        yield from itertools.cycle(range(first, first + AT_A_TIME))
    raise AssertionError(f"{len(PORTS) // AT_A_TIME} processes of tests have all ports")


_ports = _own_ports()


def unused_port() -> int:
    """Where nobody listens, nor will who is not told."""
    for _ in range(AT_A_TIME):
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("other programs listen at all ports of this process")


@pytest.fixture
def an_unused_port() -> int:
    """Where nobody listens."""
    return unused_port()
