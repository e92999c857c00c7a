"""Fixtures named like troubles. `model` is a fresh fake vLLM; the others are the same server in a bad mood."""

from __future__ import annotations

import socket
from collections.abc import Iterator

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


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def an_unused_port() -> int:
    """Where nobody listens."""
    return unused_port()
