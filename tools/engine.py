"""The Docker engine for tests: the one that is there, or, as root on Debian, one that is installed and runs for as long
as the tests do."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = {
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "ssh-keygen": "openssh-client",
}
"""Program -> Debian's package. debootstrap makes a base image where no registry can be reached; nginx is tested as
the hub's HTTPS, and OpenSSH signs bundles."""
PATIENCE = 60.0  # seconds for a daemon to start or to stop


def answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    asked = [docker, "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def packages() -> list[str]:
    """What apt would have to install."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where Debian puts programs for root
    wanted = [package for program, package in PACKAGES.items() if shutil.which(program, path=path) is None]
    return wanted if has_compose() else [*wanted, "docker-compose"]


def has_compose() -> bool:
    """The program of old, or the plugin."""
    if shutil.which("docker-compose"):
        return True
    asked = ["docker", "compose", "version"]
    return shutil.which("docker") is not None and subprocess.run(asked, capture_output=True).returncode == 0


@contextmanager
def running(log: Path) -> Iterator[str]:
    """Why there is no engine; "" when one answers. A daemon that is started here is stopped at the end."""
    if answers():
        yield ""
        return
    daemon = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if daemon is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield "Docker (apt-get install docker.io, and a right to use it): no test of tests/docker ran"
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C ends the tests first, and these still need it to tidy up.
        process = subprocess.Popen([daemon], stdout=output, stderr=output, start_new_session=True)
    try:
        yield "" if _started(process) else f"Docker: dockerd does not start, {log} says why"
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _started(process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if answers():
            return True
        time.sleep(0.2)
    return False
