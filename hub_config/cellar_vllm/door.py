"""Which of vLLM's paths are open, in front of all of them.

vLLM asks for its key below /v1 alone. Beside that it answers questions (`/invocations`, `/generative_scoring`,
`/inference/v1/generate`) and changes how it serves (`/scale_elastic_ep`, `/pause`) for whoever reaches its port, and
with each release there may be more. Here everything is shut but what the gateway, vllm-router and a monitor ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

WITH_KEY = "/v1/"  # vLLM itself looks at the key there
WITHOUT_KEY = frozenset({"/health", "/metrics", "/metrics/", "/version", "/tokenize"})
"""They tell how the server is, and count tokens; no model answers there."""
BODY = b'{"error": {"message": "There is nothing here.", "type": "NotFoundError", "param": null, "code": 404}}'


class Door:
    """ASGI middleware, by vLLM's --middleware: 404 for every other path."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_open(scope["path"])):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        return await send({"type": "http.response.body", "body": BODY})


def _is_open(path: str) -> bool:
    return path in WITHOUT_KEY or (path.startswith(WITH_KEY) and "/../" not in path)
