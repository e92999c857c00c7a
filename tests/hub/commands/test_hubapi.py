"""What the command line and the console make of a hub that is killed, or is somebody else, while it answers."""

from __future__ import annotations

import socket
import threading
from ipaddress import IPv4Network

import pytest
from cellar_hub.hubapi import HubApi, HubRefused


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a"',
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["half an answer", "a page", "no http", "nothing"],
)
def test_an_answer_that_is_none_is_a_hub_that_does_not_answer(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        api = HubApi(f"http://127.0.0.1:{server.getsockname()[1]}", "x" * 32, IPv4Network("10.99.0.0/16"))
        with pytest.raises(HubRefused) as refused:
            api.ask("GET", "/users")
        thread.join()
    assert refused.value.status == 0 and "does not answer" in str(refused.value)
