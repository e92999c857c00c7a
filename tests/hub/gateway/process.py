"""The gateway as its own process, to be killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.fixtures import unused_port

READY = re.compile(rb"ready on ([0-9.:]+), operations on ([0-9.:]+)")


class GatewayProcess:
    """`log` is everything it wrote."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self._env = {"CELLAR_LOG_LEVEL": "debug", **env}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.operations = ""

    def start(self) -> None:
        env = {
            "PATH": os.environ["PATH"],
            "CELLAR_GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "CELLAR_GATEWAY_OPERATIONS": "127.0.0.1:0",
            **self._env,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cellar_hub.gateway"], env=env, stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        found = READY.search(self._process.stdout.readline())
        assert found is not None, self.log
        self.operations = f"http://{found[2].decode()}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        assert self._process is not None and self._process.stdout is not None
        self._process.send_signal(number)
        status = self._process.wait(60)
        self._process.stdout.close()
        self._process = None
        return status

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextlib.contextmanager
def running(env: dict[str, str], log: Path) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(env, log)
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway._process is not None:
            gateway.kill()
