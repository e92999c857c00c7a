"""A real Jupyter server with Cellar, as a child process, and a client that speaks to it like the panel does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from cellar import wire
from cellar.sse import Comment, SSEDecoder

PATIENCE = 20.0
TOKEN = "t0ken-of-the-tests"
_decode_event = msgspec.json.Decoder(wire.Event).decode


class JupyterServer:
    """One child. `home` holds everything it writes; a second server with the same home is the first one restarted."""

    def __init__(self, home: Path, model_url: str, **settings: Any) -> None:
        self.home = home
        self.root = home / "work"
        self.root.mkdir(parents=True, exist_ok=True)
        self.log_path = home / f"server-{secrets.token_hex(3)}.log"
        self._settings = {"base_url": model_url, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, *arguments: str) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        environment |= {
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_NO_CONFIG": "1",
            "HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
        }
        config = self.home / "settings.json"
        config.write_text(json.dumps({"Cellar": self._settings}))
        log = self.log_path.open("wb")
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "tests.server.start", str(config),
                "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--ServerApp.open_browser=False",
                f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.root}", "--allow-root",
                "--ServerApp.allow_unauthenticated_access=False", *arguments,
            ],
            env=environment, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
        log.close()
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line.startswith("ready "):
            raise AssertionError(f"The server did not start:\n{self.log()}")
        self.url = line.removeprefix("ready ")
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def kill(self) -> None:
        """As a crash: nothing is tidied up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def panel(self) -> Panel:
        return Panel(self.url)

    @property
    def conversation_files(self) -> list[Path]:
        return sorted((self.home / "data" / "cellar" / "conversations").glob("*"))

    @property
    def journals(self) -> list[Path]:
        return sorted((self.home / "data" / "cellar" / "journals").glob("*"))


@contextlib.contextmanager
def running(home: Path, model_url: str, *arguments: str, **settings: Any) -> Iterator[JupyterServer]:
    server = JupyterServer(home, model_url, **settings).start(*arguments)
    try:
        yield server
    except BaseException:
        print(server.log()[-4000:])  # noqa: T201 - the failed test shows it
        raise
    finally:
        server.stop()


class Panel:
    """What the panel does, over HTTP with the token."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(
            base_url=f"{url}cellar/api/",
            headers={"Authorization": f"token {TOKEN}"},
            timeout=PATIENCE,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    async def ask(self, text: str, **more: Any) -> dict[str, Any]:
        """POST a turn; its 201 body."""
        answer = await self.http.post("turns", json={"request_key": secrets.token_hex(8), "text": text, **more})
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def turn(self, turn_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"turns/{turn_id}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def conversation(self, conversation_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"conversations/{conversation_id}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    @contextlib.asynccontextmanager
    async def events(self, turn_id: str, after: str = "") -> AsyncIterator[Events]:
        async with self.http.stream("GET", f"turns/{turn_id}/events", params={"after": after}) as response:
            assert response.status_code == 200, await response.aread()
            yield Events(response)

    async def all_events(self, turn_id: str, after: str = "") -> list[wire.Event]:
        async with self.events(turn_id, after) as events:
            return [event async for event in events]

    async def finished(self, text: str, **more: Any) -> dict[str, Any]:
        """Ask, read to the end, answer the turn."""
        created = await self.ask(text, **more)
        await self.all_events(created["turn_id"])
        return await self.turn(created["turn_id"])


class Events:
    """An events response; iterating gives events and keeps the last cursor."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.headers: Mapping[str, str] = response.headers
        self.cursor = ""
        self.comments: list[str] = []
        self._items = self._read()

    async def _read(self) -> AsyncIterator[wire.Event]:
        decoder = SSEDecoder()
        async for chunk in self.response.aiter_raw():
            for item in decoder.feed(chunk):
                if isinstance(item, Comment):
                    self.comments.append(item.text)
                    continue
                self.cursor = item.id
                yield _decode_event(item.data)

    def __aiter__(self) -> AsyncIterator[wire.Event]:
        return self._items

    async def until(self, kind: type[Any]) -> Any:
        """The next event of this kind."""
        async for event in self._items:
            if isinstance(event, kind):
                return event
        raise AssertionError(f"The response ended before a {kind.__name__}")

    async def text(self, wanted: str) -> None:
        """Read until the text is exactly `wanted`."""
        seen = ""
        async for event in self._items:
            if isinstance(event, wire.TextEvent):
                seen += event.delta
            elif isinstance(event, wire.SnapshotEvent):
                seen = "".join(part.text for part in event.parts if isinstance(part, wire.TextPart))
            if seen == wanted:
                return
        raise AssertionError(f"The response ended with {seen!r}")


async def until(met: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    """Ask again and again, but not for ever, for what tells nobody when it happens: a file that another process writes,
    an answer of a server. The rest between two looks is no guess at how long that takes."""
    async with asyncio.timeout(patience):
        while not await met():  # noqa: ASYNC110 - a file or another process cannot set an event
            await asyncio.sleep(0.01)


def text_of(turn: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in turn.get("parts", ()) if part["type"] == "text")
