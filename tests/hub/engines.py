"""The Docker engine of this machine, for the tests that need a real one, and an image small enough to make anywhere."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

import docker
from docker.errors import DockerException

SOCKET = Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
PROGRAMS = ("/bin/sh", "/bin/sleep", "/bin/cat", "/bin/ls", "/usr/bin/id")
NOT_HERE = "Docker is missing or this user may not use it"


def answers() -> bool:
    """Whether the engine's socket is here and this user may use it."""
    if not os.access(SOCKET, os.R_OK | os.W_OK):
        return False
    try:
        client = docker.DockerClient(base_url=f"unix://{SOCKET}", timeout=10)
        client.ping()
        client.close()
    except DockerException:
        return False
    return True


def tiny_image() -> bytes:
    """A tar archive of a shell, a few programs of this machine and the libraries they load: no registry is asked."""
    wanted = set(PROGRAMS)
    for program in PROGRAMS:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        wanted |= set(re.findall(r"(/\S+) \(0x", listed))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as archive:
        for name in sorted(wanted):
            archive.add(Path(name).resolve(), arcname=name)
    return out.getvalue()
