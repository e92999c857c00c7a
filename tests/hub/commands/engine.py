"""Docker's API as far as the log-in asks it: whose volumes there are, and that one is to go."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote


class Volumes:
    """A server with volumes: names -> labels. `in_use`: those of a container."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {}
        self.in_use: set[str] = set()
        volumes = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith("/version"):
                    return self.say(200, {"ApiVersion": "1.41"})
                name = unquote(self.path.rpartition("/")[2])
                if name not in volumes.labels:
                    return self.say(404, {"message": "no such volume"})
                return self.say(200, {"Name": name, "Labels": volumes.labels[name]})

            def do_DELETE(self) -> None:
                name = unquote(self.path.partition("?")[0].rpartition("/")[2])
                if name in volumes.in_use:
                    return self.say(409, {"message": "volume is in use"})
                return self.say(404 if volumes.labels.pop(name, None) is None else 204, None)

            def say(self, status: int, what: object) -> None:
                body = b"" if what is None else json.dumps(what).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"tcp://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Volumes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
