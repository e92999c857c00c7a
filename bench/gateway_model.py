"""A model server that costs next to nothing: answers written beforehand, one write a token, at a fixed rate.

    python -m bench.gateway_model PORT

`max_tokens` of a request is how many tokens its answer has; streamed, they come `RATE` a second, the first after `seed`
milliseconds of prefill.
The fake of tests/fakes checks what it gets and can be told what to do; here it would itself be what is measured.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

RATE = 50.0
MODEL = "bench-model"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens": ?(\d+)')
_PREFILL = re.compile(rb'"seed": ?(\d+)')


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(text: str, finish: str = "null") -> bytes:
    return _chunk(
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1764000000,"model":"%b","choices":'
        b'[{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":%b,"token_ids":null}]}\n\n'
        % (MODEL.encode(), text.encode(), finish.encode())
    )


TOKEN = _event("word ")
LAST = _event("", '"stop"')


def _end(tokens: int) -> bytes:
    usage = (
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1764000000,"model":"%b","choices":[],'
        b'"usage":{"prompt_tokens":20,"total_tokens":%d,"completion_tokens":%d}}\n\n'
        % (MODEL.encode(), 20 + tokens, tokens)
    )
    return LAST + _chunk(usage) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _json(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


LIST = _json(b'{"object":"list","data":[{"id":"%b","object":"model","max_model_len":32768}]}' % MODEL.encode())
WHOLE = _json(
    b'{"id":"chatcmpl-bench","object":"chat.completion","model":"%b","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"total_tokens":21,"completion_tokens":1}}'
    % MODEL.encode()
)


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by class

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head, rest[:size])

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self._transport.write(LIST if b"/models" in head[:80] else _json(b"{}"))
        elif b'"stream":true' not in body:
            self._transport.write(WHOLE)
        else:
            found, prefill = _TOKENS.search(body), _PREFILL.search(body)
            tokens = int(found[1]) if found else 100
            self._transport.write(_HEAD)
            self._step(0, tokens, self._loop.time() + (int(prefill[1]) / 1e3 if prefill else 0.0))

    def _step(self, sent: int, tokens: int, due: float) -> None:
        if sent >= tokens:
            self._transport.write(_end(tokens))
            return
        self._timer = self._loop.call_at(due, self._write, sent, tokens, due)

    def _write(self, sent: int, tokens: int, due: float) -> None:
        self._transport.write(TOKEN)
        self._step(sent + 1, tokens, due + 1 / RATE)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
