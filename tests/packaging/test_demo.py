"""`make demo` starts everything, says where it is, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.fixtures import unused_port
from tests.ui.lab import wait_until
from tools import demo

ROOT = Path(__file__).resolve().parent.parent.parent


class RunningDemo:
    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        self.out = home / "out.txt"
        env = {**os.environ, "CELLAR_DEMO_HOME": str(home), "HEADLESS": "1", **env}
        command = [sys.executable, "-m", "tools.demo"]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def text(self) -> str:
        return self.out.read_text()

    def url(self) -> str:
        def ready() -> str | None:
            assert self.process.poll() is None, self.text()
            found = re.search(r"Cellar is ready: (\S+)", self.text())
            return found.group(1) if found else None

        return str(wait_until(ready, f"the demo ({self.out})", timeout=120))

    def children(self) -> list[int]:
        """Process ids of everything that inherited this demo's environment."""
        mark = f"CELLAR_DEMO_HOME={self.home}".encode()
        ids = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    ids.append(int(entry.name))
            except OSError:
                continue  # it ended meanwhile, or belongs to somebody else
        return [pid for pid in ids if pid != self.process.pid]

    def end(self, sign: signal.Signals) -> int:
        self.process.send_signal(sign)
        return self.process.wait(40)


@pytest.fixture
def a_demo(tmp_path: Path) -> Iterator[RunningDemo]:
    pytest.importorskip("xllamacpp", reason="the embedded model's server (xllamacpp) is not installed")
    running = RunningDemo(tmp_path, PORT=str(unused_port()))
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as answer:
        return bytes(answer.read())


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.timeout(200)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads the process table of Linux")
@pytest.mark.parametrize(
    "sign", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL], ids=["ctrl-c", "closed-terminal", "killed"]
)
def test_the_demo_answers_and_ends_with_all_it_started(a_demo: RunningDemo, sign: signal.Signals) -> None:
    url = a_demo.url()
    token = url.split("token=")[1]
    base = url.split("/lab/")[0]
    assert b"smollm2-135m" in get(f"{base}/cellar/api/status?token={token}")
    assert (a_demo.home / "workspace" / "sample.ipynb").is_file()
    assert "tiny" in a_demo.text() and "VLLM_BASE_URL=" in a_demo.text()
    assert len(a_demo.children()) >= 2

    assert a_demo.end(sign) == (-signal.SIGKILL if sign == signal.SIGKILL else 0)
    wait_until(lambda: not a_demo.children(), "the demo's programs to end", timeout=20)


@pytest.mark.parametrize("address", ["localhost:9", "http://", "http://a:b@c/v1"])
def test_an_address_that_is_none_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(SystemExit, match=r"\AVLLM_BASE_URL .*\.\Z"):
        demo.start_model({"VLLM_BASE_URL": address}, [])


def test_a_busy_port_that_was_asked_for_is_an_error_that_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"Port {port} is in use"):
            demo.choose_port(str(port))


@pytest.mark.parametrize("port", ["lab", "0", "70000", "-1"])
def test_a_port_that_is_no_port_is_an_error_that_names_it(port: str) -> None:
    with pytest.raises(SystemExit, match=f"PORT={port}"):
        demo.choose_port(port)


def test_without_a_port_the_demo_takes_a_free_one() -> None:
    assert demo.is_free(demo.choose_port(None))


def test_a_child_that_fails_is_named_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no weights here')"]
    child = demo.Child("model", command, dict(os.environ), home=tmp_path)
    with pytest.raises(SystemExit, match="model ended with status 1:\nno weights here"):
        demo.wait_for(child, lambda: False, 20)
