"""A Docker engine of the proof's own, inside of the seal: it and all that it starts have no other way out.

Each container gets its leg after `runc create` and before its first instruction: the engine's runtime is `WAITING`, a
script that calls runc and then, over a socket, the one that holds the seal. A container that gets none does not start.

Design note. The engine's data lies in a folder of its own, so that nothing of a running site is touched, and it goes at
the end. A socket of the engine is a file, so it is asked from outside of its network as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellar_offline.proving import namespaces, remains
from cellar_offline.proving.namespaces import Unsealed
from cellar_offline.proving.sink import IPV4

PATIENCE = 60.0  # seconds for the engine to start, or to stop
RUNTIME = "cellar-sealed"
WAITING = """\
#!{python} -IS
import os, socket, subprocess, sys
if "create" not in sys.argv[1:] or "--pid-file" not in sys.argv:
    os.execv({runc!r}, [{runc!r}, *sys.argv[1:]])
status = subprocess.call([{runc!r}, *sys.argv[1:]])
if status == 0:
    with open(sys.argv[sys.argv.index("--pid-file") + 1]) as file:
        pid = file.read().strip()
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(30)
        asked.connect({socket!r})
        asked.sendall((pid + " " + sys.argv[-1] + "\\n").encode())
        status = 0 if asked.recv(2) == b"ok" else 1
    if status:
        sys.stderr.write("the container got no way into the sink\\n")
sys.exit(status)
"""
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"

Created = Callable[[int, str], None]
"""Told of each container before it begins: its first process, its id. What it raises keeps it from starting."""


class Engine:
    """`folder` holds all of it; short, because the path of a socket may have 107 bytes."""

    def __init__(self, folder: Path, created: Created) -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self._created = created
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to ask this engine."""
        return {**os.environ, "PATH": PATH, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_SOCKET": str(self.socket)}

    def start(self, namespace: int) -> None:
        """In the network namespace of this file descriptor. Unsealed when it does not come up."""
        daemon, runc = (shutil.which(each, path=PATH) for each in ("dockerd", "runc"))
        if daemon is None or runc is None:
            raise Unsealed("The proof starts an engine of its own, and finds no dockerd and runc here.")
        self._listen(runc)
        command = [
            daemon,
            *("--host", f"unix://{self.socket}"),
            *("--data-root", str(self.folder / "data")),
            *("--exec-root", str(self.folder / "exec")),
            *("--pidfile", str(self.folder / remains.PID)),
            *("--add-runtime", f"{RUNTIME}={self.folder / 'runtime'}", "--default-runtime", RUNTIME),
            *("--config-file", str(self.folder / "daemon.json")),
            *("--bridge", "none", "--dns", IPV4),
        ]
        (self.folder / "daemon.json").write_text("{}")
        log = (self.folder / "dockerd.log").open("wb")

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "PATH": PATH}, start_new_session=True
            )

        with log:
            self._process = namespaces.within(namespace, begin)
        until = time.monotonic() + PATIENCE
        while not self.answers():
            if time.monotonic() > until or self._process.poll() is not None:
                said = (self.folder / "dockerd.log").read_text(errors="replace")[-1500:]
                raise Unsealed(f"The engine of the proof does not start:\n{said}")
            time.sleep(0.2)

    @property
    def pid(self) -> int:
        """Of the daemon."""
        return self._process.pid if self._process else 0

    def answers(self) -> bool:
        return self.socket.exists() and self._docker("version", "--format", "{{.Server.Version}}").returncode == 0

    def docker(self, *arguments: str, given: str | None = None) -> str:
        """What `docker` says. Unsealed with its last words."""
        done = self._docker(*arguments, given=given)
        if done.returncode != 0:
            raise Unsealed(f"docker {' '.join(arguments[:2])} failed: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def _docker(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["docker", *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, env=self.environment)

    def inspect(self, container: str) -> dict[str, Any]:
        """What is known of a container; empty when it has gone."""
        done = self._docker("inspect", "--type", "container", container)
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]") if done.returncode == 0 else []
        return found[0] if found else {}

    # --- containers that begin

    def _listen(self, runc: str) -> None:
        door = self.folder / "door"
        script = self.folder / "runtime"
        script.write_text(WAITING.format(python=sys.executable, runc=runc, socket=str(door)))
        script.chmod(0o755)
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(door))
        self._door.listen(64)
        threading.Thread(target=self._receive, name="door", daemon=True).start()

    def _receive(self) -> None:
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._let_in, args=(connection,), daemon=True).start()

    def _let_in(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile() as said:
            pid, container = said.readline().split()
            try:
                self._created(int(pid), container)
            except (Unsealed, OSError) as problem:
                print(f"  {container[:12]}: {problem}", file=sys.stderr, flush=True)
            else:
                connection.sendall(b"ok")

    def stop(self) -> None:
        """The engine with all that runs in it; its folder goes, too."""
        if self._process is not None:
            if self.answers():
                running = self._docker("ps", "-aq").stdout.split()
                if running:
                    self._docker("rm", "-f", "-v", *running)
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._door.close()
        remains.end_containers(self.folder)  # where the engine did not come to its own end
        for name in ("data", "exec"):
            remains.remove(self.folder / name)
