"""The child of `servers.JupyterServer`: a Jupyter server with Cellar that says on standard output where it listens."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from traitlets.config import Config


class TestServer(ServerApp):
    """Announces its address once its event loop runs."""

    __test__ = False

    def start_ioloop(self) -> None:
        self.io_loop.add_callback(self._announce)
        super().start_ioloop()

    def _announce(self) -> None:
        [socket, *_] = self.http_server._sockets.values()
        print(f"ready http://127.0.0.1:{socket.getsockname()[1]}{self.base_url}", flush=True)  # noqa: T201


def main() -> None:
    settings: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    config = Config({**settings, "ServerApp": {"jpserver_extensions": {"cellar_jupyter": True}}})
    asyncio.set_event_loop(asyncio.new_event_loop())
    TestServer.launch_instance(sys.argv[2:], config=config)


if __name__ == "__main__":
    main()
