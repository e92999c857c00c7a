"""The container of docker-compose.vllm.yml, with a small program in vLLM's place: what it may write, and where; and how
`cellar-vllm serve` ends in it. No GPU is needed to see that."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tests.docker import vllm
from tests.docker.engine import TEST
from tests.ui.lab import wait_until
from tests.vllm.test_fit import CONFIG, folder

PROGRAM = """
import getpass, json, os, shutil, socket
from pathlib import Path
home, out = Path(os.environ["HOME"]), {}
def written(path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile("/usr/bin/true", path)
        path.chmod(0o755)
        return os.spawnl(os.P_WAIT, path, "true") == 0
    except OSError:
        return False
places = [home / ".triton/cache/k.so", home / ".nv/ComputeCache/k", home / ".config/vllm/usage.json", Path("/tmp/k.so")]
places += [Path(value) / "k.so" for name, value in os.environ.items() if name.endswith("_DIR")]
out["written"] = {str(each): written(each) for each in places}
out["closed"] = [str(each) for each in map(Path, ("/k", "/usr/k", "/models/k", "/etc/k")) if not written(each)]
shared = os.statvfs("/dev/shm")
out["shared"] = shared.f_blocks * shared.f_frsize
with socket.socket(socket.AF_UNIX) as between_processes:
    between_processes.bind("/tmp/socket")
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
out["capabilities"] = int(status["CapEff"], 16) | int(status["CapBnd"], 16)
out["user"] = [os.getuid(), os.getgid(), getpass.getuser()]
print(json.dumps(out))
"""


@pytest.fixture
def image(client: docker.APIClient, base: str) -> Iterator[str]:
    name = f"cellar-test-vllm:{uuid.uuid4().hex[:8]}"
    vllm.build(client, base, name)
    yield name
    client.remove_image(name)


@pytest.fixture
def home(client: docker.APIClient, image: str) -> Iterator[str]:
    """The volume of what it writes."""
    name = f"{image.replace(':', '-')}-home"
    client.create_volume(name, labels={TEST: image})
    yield name
    client.remove_volume(name)


@contextmanager
def started(client: docker.APIClient, container: str) -> Iterator[str]:
    try:
        client.start(container)
        yield container
    finally:
        client.remove_container(container, force=True, v=True)


def ended(client: docker.APIClient, container: str) -> tuple[int, str]:
    """(exit status, log)"""
    return client.wait(container)["StatusCode"], client.logs(container).decode()


def test_what_vllm_writes_it_may_write_and_nothing_else(
    client: docker.APIClient, image: str, home: str, tmp_path: Path
) -> None:
    service = vllm.service(VLLM_WEIGHTS=str(tmp_path))
    program = ["python3", "-c", PROGRAM]
    with started(client, vllm.create(client, image, service, program=program, home=home, label=image)) as container:
        status, said = ended(client, container)
    assert status == 0, said
    found = json.loads(said)
    assert len(found["written"]) >= 5 and all(found["written"].values()), "and what was compiled may be loaded"
    assert found["closed"] == ["/k", "/usr/k", "/models/k", "/etc/k"]
    assert found["shared"] == 8 * 1024**3
    assert found["user"] == [2000, 0, "vllm"]
    assert found["capabilities"] == 0


STANDS_IN = """
import signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print("INFO:     Application startup complete.", flush=True)
while not stop.wait(0.05): pass
print("the last answer", flush=True)
"""


def test_weights_that_its_user_may_not_read_end_it_with_their_cure_and_a_stop_lets_it_end_its_answers(
    client: docker.APIClient, image: str, home: str, tmp_path: Path
) -> None:
    module = tmp_path / "vllm" / "entrypoints" / "openai"
    module.mkdir(parents=True)
    (module / "api_server.py").write_text(STANDS_IN)
    weights = folder(tmp_path / "weights", CONFIG)
    tmp_path.chmod(0o755)
    service = vllm.service(VLLM_WEIGHTS=str(tmp_path))
    program = ["python3", "-m", "cellar_vllm", "serve", "--weights=/models/weights", "--gpu=24", "--host=0.0.0.0"]

    def created() -> str:
        binds = [f"{tmp_path / 'vllm'}:/opt/cellar/vllm:ro"]
        return vllm.create(client, image, service, program=program, home=home, label=image, binds=binds)

    weights.chmod(0o700)
    with started(client, created()) as container:
        status, said = ended(client, container)
    assert status == 2 and said.startswith("cellar-vllm: /models/weights may not be read by user 2000, group 0"), said
    weights.chmod(0o755)
    with started(client, created()) as container:
        wait_until(lambda: b"startup complete" in client.logs(container), "the model")
        client.stop(container, timeout=30)
        status, said = ended(client, container)
    assert status == 0 and said.endswith("the last answer\n"), said
