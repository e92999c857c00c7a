"""Real servers on real sockets. `server` is one Jupyter server for the whole run, in front of the fake model of the
test; what needs settings of its own or dies on the way is started by `a_server`."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.vllm import FakeVLLM
from tests.server.servers import JupyterServer, Panel, running


@pytest.fixture(scope="session")
def _one_server(tmp_path_factory: pytest.TempPathFactory, _one_fake: FakeVLLM) -> Iterator[JupyterServer]:
    with running(tmp_path_factory.mktemp("server"), _one_fake.url) as server:
        yield server


@pytest.fixture
def server(_one_server: JupyterServer, model: FakeVLLM) -> JupyterServer:
    return _one_server


@pytest.fixture
async def panel(server: JupyterServer) -> AsyncIterator[Panel]:
    async with server.panel() as panel:
        yield panel


@pytest.fixture
def a_disk_without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Lustre without its mount option `flock`, or on NFS whose lock service is not reached."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


StartServer = Callable[..., JupyterServer]


@pytest.fixture
def a_server(tmp_path: Path, model: FakeVLLM) -> Iterator[StartServer]:
    """Start a server with settings: `a_server(orphan_grace=1)`. The same home each time: a second one is a restart."""
    with ExitStack() as stack:

        def start(*arguments: str, home: Path = tmp_path, **settings: Any) -> JupyterServer:
            return stack.enter_context(running(home, model.url, *arguments, **settings))

        yield start
