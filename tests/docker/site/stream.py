"""An answer that runs: a small program that asks the gateway as any client may, and says what it gets as it comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from tests.docker.site.installation import Installation

LONG: dict[str, Any] = {"max_tokens": 4000, "ignore_eos": True}
"""As much as the policy allows."""

PROGRAM = """
import http.client, json, os, sys, threading, urllib.parse
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
where = urllib.parse.urlsplit(os.environ["VLLM_BASE_URL"])
headers = {"Authorization": "Bearer " + os.environ["VLLM_API_KEY"], "Content-Type": "application/json"}
def say(*words):
    print(*words, flush=True)
def connect():
    return http.client.HTTPConnection(where.hostname, where.port or 80, timeout=150)
try:
    asking = connect()
    asking.request("GET", where.path + "/models", headers=headers)
    listed = asking.getresponse()
    if listed.status != 200:
        say("status", listed.status)
        sys.exit(0)
    body = {"model": json.loads(listed.read())["data"][0]["id"], "stream": True, **json.loads(sys.argv[1])}
    asking = connect()
    asking.request("POST", where.path + "/chat/completions", json.dumps(body), headers)
    answer = asking.getresponse()
    say("status", answer.status, answer.getheader("X-Request-Id"))
    if answer.status != 200:
        say("body", answer.read().decode())
        sys.exit(0)
    while line := answer.readline():
        if line.startswith(b": queued"):
            say(line[2:].decode().strip())
        if not line.startswith(b"data: "):
            continue
        data = line[6:].strip()
        if data == b"[DONE]":
            say("done")
            sys.exit(0)
        event = json.loads(data)
        if "error" in event:
            say("error", json.dumps(event["error"]))
        elif event.get("choices"):
            say("text", json.dumps(event["choices"][0].get("delta", {}).get("content") or ""))
    say("cut")
except (OSError, http.client.HTTPException) as problem:
    say("cut", type(problem).__name__)
"""
PATIENCE = 120.0
"""Seconds for the next words of an answer: the embedded model has two cores together with everything else."""
WORDS = [{"role": "user", "content": "Tell me a very long story about the sea."}]


class Stream:
    """`lines` are what the program said so far. Close it, or use it in a `with`."""

    def __init__(self, command: Sequence[str], body: dict[str, Any], env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [*command, "-c", PROGRAM, json.dumps({"messages": WORDS} | body)],
            stdin=subprocess.PIPE,  # its end ends the program, also one inside of a container
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def inside(cls, site: Installation, user: str, **body: Any) -> Stream:
        """From a user's workspace, with its token."""
        return cls(["docker", "exec", "-i", site.workspace(user), "python3"], body)

    @classmethod
    def outside(cls, site: Installation, token: str, **body: Any) -> Stream:
        """Through the hub's proxy, as a client somewhere in the building asks."""
        where = {"VLLM_BASE_URL": f"{site.url}/services/cellar/v1", "VLLM_API_KEY": token}
        return cls([sys.executable], body, os.environ | where)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self.lines.append("end")
            self._news.notify_all()

    def _wait(self, what: str, seconds: float, condition: Any) -> None:
        with self._news:
            if not self._news.wait_for(condition, seconds):
                raise AssertionError(f"waited {seconds:.0f} s for {what}: {self.lines[:2]} ... {self.lines[-3:]}")

    def wait_for_line(self, line: str, seconds: float = 30) -> None:
        self._wait(line, seconds, lambda: line in self.lines or self.ended)
        assert line in self.lines, f"the answer ended early: {self.lines[:2]} ... {self.lines[-3:]}"

    def wait_for_text(self, pieces: int = 3, seconds: float = PATIENCE) -> None:
        """Until so many more pieces have come. AssertionError when the answer ends before."""
        wanted = self.pieces + pieces
        self._wait("text", seconds, lambda: self.pieces >= wanted or self.ended)
        assert self.pieces >= wanted, f"the answer ended early: {self.lines[:2]} ... {self.lines[-3:]}"

    def wait_for_end(self, seconds: float = PATIENCE) -> str:
        """Its last word but "end": done, error ..., cut ..., status ... or body ...."""
        self._wait("the end", seconds, lambda: self.ended)
        return self.lines[-2] if len(self.lines) > 1 else ""

    @property
    def request_id(self) -> str:
        """What the gateway calls it, once its answer has begun."""
        return next(line.split()[2] for line in self.lines if line.startswith("status 200"))

    @property
    def pieces(self) -> int:
        return sum(line.startswith("text ") for line in self.lines)

    @property
    def ended(self) -> bool:
        return bool(self.lines) and self.lines[-1] == "end"

    @property
    def text(self) -> str:
        return "".join(json.loads(line[5:]) for line in self.lines if line.startswith("text "))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
