"""nginx as the overlay `tls` configures it, in front of a server of the test's."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from tests.fakes.fixtures import unused_port
from tools.env_example import COMPOSE
from tools.images import IMAGES

MAIN = IMAGES / "overlays" / "nginx.conf"
MISSING = "nginx or openssl is missing"


def is_here() -> bool:
    return bool(shutil.which("nginx") and shutil.which("openssl"))


def certificate(folder: Path) -> None:
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
        *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")),
    ]
    subprocess.run(command, check=True, capture_output=True)


async def until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        assert process.poll() is None, log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.to_thread(process_pause, process)
            continue
        writer.close()
        return


def process_pause(process: subprocess.Popen[bytes]) -> None:
    """A moment in which nginx can open its port, or end."""
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        return


@asynccontextmanager
async def serving(
    folder: Path, upstream: str, edit: Callable[[str], str] = lambda text: text
) -> AsyncIterator[tuple[int, int]]:
    """Its ports for HTTPS and HTTP; the certificate is tls.crt in the folder. `edit` may spoil the configuration."""
    certificate(folder)
    http_port, https_port = unused_port(), unused_port()
    values = yaml.safe_load((COMPOSE / "docker-compose.tls.yml").read_text())["services"]["tls"]["environment"]
    values |= {
        "CELLAR_SERVER_NAME": "_",
        "CELLAR_UPLOAD_SIZE": "1m",
        "CELLAR_UPSTREAM": upstream,
        "CELLAR_RESOLVER": "127.0.0.1",
        "CELLAR_HTTP_PORT": str(http_port),
        "CELLAR_HTTPS_PORT": str(https_port),
        "CELLAR_TLS_PORT": str(https_port),
        "CELLAR_TLS": str(folder),
    }
    template = edit((COMPOSE / "tls.conf.template").read_text())
    (folder / "tls.conf").write_text(re.sub(r"\$\{(CELLAR_\w+)\}", lambda found: values[found[1]], template))
    shutil.copy(MAIN, folder)
    one = "master_process off;"  # a worker of root's would be somebody who may not read the test's folder
    command = ["nginx", "-e", "stderr", "-g", one, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with (folder / "error.log").open("wb") as log:
        process = await asyncio.to_thread(subprocess.Popen, command, stderr=log)
    try:
        await until_open(https_port, process, folder / "error.log")
        yield https_port, http_port
    finally:
        process.terminate()
        process.wait()
