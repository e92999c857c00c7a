"""The least that a relay of a streamed answer costs: httpx in, tornado out, nothing kept. Measured beside Cellar."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import urllib.request
from multiprocessing.connection import Connection

import httpx
import tornado.httpserver
import tornado.netutil
import tornado.web

TOKENS = 2_000
RATE = 200


class _Relay(tornado.web.RequestHandler):
    async def post(self) -> None:
        http: httpx.AsyncClient = self.application.settings["http"]
        url: str = self.application.settings["upstream"] + "/chat/completions"
        self.set_header("Content-Type", "text/event-stream")
        async with http.stream("POST", url, content=self.request.body) as answer:
            async for chunk in answer.aiter_bytes():
                self.write(chunk)
                await self.flush()


def _serve(upstream: str, pipe: Connection) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            app = tornado.web.Application([("/", _Relay)], http=http, upstream=upstream)
            sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
            server = tornado.httpserver.HTTPServer(app)
            server.add_sockets(sockets)
            pipe.send(sockets[0].getsockname()[1])
            loop = asyncio.get_running_loop()
            while True:
                await loop.run_in_executor(None, pipe.recv)
                used = resource.getrusage(resource.RUSAGE_SELF)
                pipe.send(used.ru_utime + used.ru_stime)

    with contextlib.suppress(EOFError, KeyboardInterrupt):
        asyncio.run(run())
    os._exit(0)


def cpu_per_token(upstream: str) -> float:
    """ms of CPU a token in the relay's process at RATE tok/s."""
    control = upstream.removesuffix("/v1") + "/control"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    wish = {"use": [{"tokens": [f" w{i % 100}" for i in range(TOKENS)], "rate": RATE}]}
    direct.open(urllib.request.Request(control, data=json.dumps(wish).encode())).read()
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(upstream, there), daemon=True)
    process.start()
    port = here.recv()
    here.send("cpu")
    before = here.recv()
    question = {"model": "fake-coder", "stream": True, "messages": [{"role": "user", "content": "Count"}]}
    direct.open(
        urllib.request.Request(f"http://127.0.0.1:{port}/", data=json.dumps(question).encode()), timeout=120
    ).read()
    here.send("cpu")
    spent: float = here.recv() - before
    process.terminate()
    process.join(10)
    return spent / TOKENS * 1e3
