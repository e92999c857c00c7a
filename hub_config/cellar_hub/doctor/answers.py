"""Whether a server answers: over HTTP, or on a port."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message

from ..destinations import Destination, Network
from ..forwarder.server import CONNECT
from ..forwarder.targets import NotAllowed, addresses_of
from .findings import Failed

PATIENCE = 10.0  # seconds
MOST = 64 * 1024  # bytes of an answer that are read
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the environment is for the internet; what is asked here is the site's own."""


def get(url: str) -> tuple[Message, bytes]:
    """Headers and body of a GET that was answered well."""
    try:
        with _opener.open(url, timeout=PATIENCE) as answer:
            return answer.headers, answer.read(MOST)
    except urllib.error.HTTPError as error:
        with error:
            raise Failed(f"{url} answers {error.code}: {error.read(300).decode(errors='replace')}") from None
    except OSError as error:
        raise Failed(f"{url} does not answer: {error}") from None


def answers(url: str) -> str:
    get(url)
    return "answers 200"


async def destination(wanted: Destination, own: Sequence[Network]) -> str:
    """Whether a server is there; nothing is said to it."""
    host, port = wanted.to
    try:
        async with asyncio.timeout(CONNECT):
            for address in await addresses_of(host, own):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(address, port)
                    writer.close()
                    return f"{address} port {port} answers"
    except NotAllowed as error:
        raise Failed(f"{host} leads to the hub's own side ({error}), and is refused") from None
    except TimeoutError:
        raise Failed(f"{host} port {port} does not answer within {CONNECT:.0f} s") from None
    except OSError as error:
        raise Failed(f"{host}: {error.strerror or error}") from None
    raise Failed(f"{host} port {port} refuses the connection")
