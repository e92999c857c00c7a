"""`make hub`: Cellar Hub on this machine, through Docker; `make hub-down` ends it.

Builds the images that are missing or not current (`tools.images`), writes hub_config/compose/.env with new secrets
(mode 0600) where there is none, starts the compose stack, makes the first administrator with a generated password, and
prints "Cellar Hub is ready: URL". Stays in the foreground and ends everything with Ctrl-C; users' files stay in their
volumes. A second run finds everything there and starts in seconds.

Environment: `PORT` (default 8000), `DETACH=1` returns when the hub is ready, `OVERLAYS="postgres tls"` adds compose
files, `BUILD=0` takes the images as they are, `BASE_IMAGE`, `CA_BUNDLE`, `DEBIAN_MIRROR` for the images; and every
setting of .env.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools import images
from tools.demo import Ended, answers, end_on_signal, is_free, step
from tools.misnamed import check_env, check_passwords

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "hub_config" / "compose"
ENV = COMPOSE / ".env"
PASSWORD = COMPOSE / "admin-password"
GATEWAY_ENV = """\
# Keys of model servers, one NAME=KEY a line: the variables that key_variable of CELLAR_MODELS names.
# Only the gateway gets them. After a change: make hub, or docker compose up -d.
"""
SECRETS = (
    "CONFIGPROXY_AUTH_TOKEN",
    "CELLAR_GATEWAY_TOKEN",
    "CELLAR_COMMANDS_TOKEN",
    "CELLAR_CONSOLE_TOKEN",
    "CELLAR_FORWARDER_TOKEN",
    "POSTGRES_PASSWORD",
    "POSTGRES_HUB_PASSWORD",
)
MODEL_SERVICES = ("vllm", "vllm-2")  # named as the overlays that bring them
OVERLAY_SERVICES = {"postgres", "redis", "tls"}
"""Overlays that bring a service of their own name, from one image."""
PATIENCE = 240.0  # seconds until the hub answers; the isolation probe is part of it


# --- what must be here


def compose_command() -> list[str]:
    """`docker compose` where it is installed, else docker-compose."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise SystemExit(
        "Docker is here, Docker Compose is not. Install it: apt-get install docker-compose, or docker-compose-plugin."
    )


def require_docker() -> None:
    """SystemExit that says what to do: no Docker, no engine, no permission."""
    if shutil.which("docker") is None:
        raise SystemExit("Cellar Hub needs Docker, and there is no `docker` here. On Debian: apt-get install docker.io")
    done = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True)
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if "permission denied" in said.lower():
        raise SystemExit(
            "This user may not use Docker. Run `make hub` as root, or join the group and log in again:\n"
            "  sudo usermod -aG docker $USER"
        )
    raise SystemExit(
        f"Docker is installed, and its engine does not answer. Start it: systemctl start docker\n{said[-300:]}"
    )


def docker_socket(settings: dict[str, str]) -> Path:
    """The engine's socket on this machine; SystemExit when Docker is somewhere else."""
    host = os.environ.get("DOCKER_HOST", "")
    path = Path(settings.get("DOCKER_SOCKET") or host.removeprefix("unix://") or "/var/run/docker.sock")
    if not path.is_socket():
        raise SystemExit(
            f"{path} is no socket. Cellar Hub runs where Docker runs; DOCKER_SOCKET in {shown(ENV)} names it."
        )
    return path


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


# --- settings


def read_env(path: Path = ENV) -> dict[str, str]:
    """What stands in .env; the process's own environment wins, as in compose."""
    lines = path.read_text().splitlines() if path.is_file() else []
    pairs = (line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    found = {name.strip(): _value(text.strip()) for name, _, text in pairs}
    return found | {name: os.environ[name] for name in (*found, *_known()) if os.environ.get(name)}


def _value(text: str) -> str:
    """As compose reads it: quoted as it is, else without the remark behind it."""
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def _known() -> list[str]:
    lines = (COMPOSE / ".env.example").read_text().splitlines()
    return [line.lstrip("#").partition("=")[0] for line in lines if "=" in line and not line.startswith("# ")]


def write_env(path: Path = ENV) -> None:
    """Make .env from the example, with secrets of its own; fill in what an older one lacks. Mode 0600."""
    if not path.is_file():
        step(f"writing {shown(path)} with new secrets")
        write_private(path, (COMPOSE / ".env.example").read_text())
    text = path.read_text()
    values = {name: secrets.token_hex(32) for name in SECRETS}
    values["DOCKER_GID"] = str(docker_socket(read_env(path)).stat().st_gid)
    present = {line.partition("=")[0] for line in text.splitlines()}
    lines = [
        f"{name}={values[name]}" if (name := line.partition("=")[0]) in values and _unset(line) else line
        for line in text.splitlines()
    ]
    lines += [f"{name}={value}" for name, value in values.items() if name not in present]
    if "\n".join(lines) + "\n" != text:
        write_private(path, "\n".join(lines) + "\n")


def gateway_env(settings: dict[str, str]) -> Path:
    """The file of the model servers' keys; compose reads a path as its own folder does."""
    return COMPOSE / (settings.get("CELLAR_GATEWAY_ENV") or "gateway.env")


def write_gateway_env(path: Path) -> None:
    """An empty one where there is none, because compose wants the file; whoever else may read it loses that."""
    if not path.is_file():
        write_private(path, GATEWAY_ENV)
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _unset(line: str) -> bool:
    """Whether a secret is empty. The socket's group is the machine's, and written each time."""
    name, _, value = line.partition("=")
    return name == "DOCKER_GID" or not value.strip()


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, mode 0600."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    unfinished.replace(path)


# --- the stack


class Stack:
    """The compose project of one site, whose settings stand in the file `env`."""

    def __init__(self, settings: dict[str, str], env: Path = ENV, password: Path = PASSWORD) -> None:
        self.settings = settings
        self.env = env
        self.password = password
        self.site = settings.get("CELLAR_SITE") or "cellar"
        self.overlays = os.environ.get("OVERLAYS", "").replace(",", " ").split()
        self.overlays.sort(key=lambda name: name == images.ROUTER)  # it stands before the servers of the others
        files = [COMPOSE / "docker-compose.yml", *(COMPOSE / f"docker-compose.{name}.yml" for name in self.overlays)]
        if missing := next((path for path in files if not path.is_file()), None):
            raise SystemExit(f"OVERLAYS: there is no {shown(missing)}.")
        self.files = files
        write_gateway_env(gateway_env(settings))
        options = [word for path in files for word in ("-f", str(path))]
        self.command = [*compose_command(), "-p", self.site, "--env-file", str(env), *options]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.command, *arguments], input=stdin, capture_output=True, text=True, cwd=COMPOSE)

    def up(self) -> None:
        done = self.run("up", "-d", "--remove-orphans")
        if done.returncode != 0:
            raise SystemExit(
                f"The stack did not start:\n{done.stderr.strip()[-2000:]}\n{self.log('socketfilter', 'hub')}"
            )

    def log(self, *services: str) -> str:
        return self.run("logs", "--no-color", "--tail=40", *services).stdout.strip()[-3000:]

    def container(self, service: str) -> str:
        """Its id while it runs; else empty."""
        labels = (f"com.docker.compose.project={self.site}", f"com.docker.compose.service={service}")
        return next(iter(ids("ps", "-q", *labels)), "")

    def restarts(self, service: str) -> int:
        """How often the engine has started it again."""
        return int(self._inspect(service, "{{.RestartCount}}") or 0)

    def health(self, service: str) -> str:
        """What its check says: starting, healthy, unhealthy; empty when it does not run."""
        return self._inspect(service, "{{.State.Health.Status}}")

    def _inspect(self, service: str, what: str) -> str:
        command = ["docker", "inspect", "--format", what, self.container(service)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    def down(self) -> None:
        """Remove containers and networks, the workspaces' too; volumes stay."""
        ours = (f"org.cellar.site={self.site}", "org.cellar.kind")
        if workspaces := ids("ps", "-aq", *ours):
            subprocess.run(["docker", "rm", "-f", *workspaces], capture_output=True)
        for network in ids("network ls", "-q", *ours):
            empty_network(network)
            subprocess.run(["docker", "network", "rm", network], capture_output=True)
        done = self.run("down", "--remove-orphans")
        if done.returncode != 0:
            raise SystemExit(f"The stack could not be ended:\n{done.stderr.strip()[-1000:]}")


def ids(command: str, option: str, *labels: str) -> list[str]:
    """Ids of the containers or networks that carry all these labels."""
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    done = subprocess.run(["docker", *command.split(), option, *filters], capture_output=True, text=True)
    return done.stdout.split()


def empty_network(network: str) -> None:
    """Services stay attached to a network until they are taken off it, and it cannot be removed before."""
    done = subprocess.run(["docker", "network", "inspect", network], capture_output=True, text=True)
    found = json.loads(done.stdout)[0] if done.returncode == 0 else {}
    for container in found.get("Containers") or {}:
        subprocess.run(["docker", "network", "disconnect", "-f", network, container], capture_output=True)


def address(settings: dict[str, str]) -> tuple[str, int]:
    """Where the proxy listens on this machine."""
    port = settings.get("CELLAR_PORT") or "8000"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise SystemExit(f"PORT={port} is not a port number.")
    return settings.get("CELLAR_LISTEN") or "127.0.0.1", int(port)


def require_port(stack: Stack) -> None:
    """SystemExit when somebody else has the port; our own proxy may."""
    port = address(stack.settings)[1]
    if not is_free(port) and not stack.container("proxy"):
        raise SystemExit(f"Port {port} is in use on this machine. Choose another: PORT=8100 make hub")
    if "tls" in stack.overlays and not stack.container("tls"):
        for name, default in (("CELLAR_TLS_PORT", "443"), ("CELLAR_HTTP_PORT", "80")):
            value = stack.settings.get(name) or default
            if value.isdigit() and not is_free(int(value)):
                raise SystemExit(f"Port {value} is in use on this machine. Choose another: {name} in {shown(ENV)}")


def wait_until_ready(stack: Stack, base: str) -> None:
    """Until the log-in page answers; SystemExit with the services' last words when the hub ends or takes too long."""
    deadline = time.monotonic() + PATIENCE
    told = False
    while not answers(f"{base}hub/login"):
        if time.monotonic() > deadline:
            raise SystemExit(
                f"The hub did not answer within {PATIENCE:.0f} s:\n{stack.log('hub', 'socketfilter', 'proxy')}"
            )
        if not told and time.monotonic() > deadline - PATIENCE + 20:
            step("waiting for the hub: it proves first that a workspace cannot reach what it must not")
            told = True
        if stack.restarts("hub") > 2:
            raise SystemExit(f"The hub does not start:\n{stack.log('hub')}")
        time.sleep(0.5)


def wait_until_well(stack: Stack, service: str) -> None:
    """Until its check says so; SystemExit with its last words when it does not start: a key that is not set, ..."""
    deadline = time.monotonic() + PATIENCE
    while stack.health(service) != "healthy":
        if time.monotonic() > deadline or stack.restarts(service) > 2:
            raise SystemExit(f"The {service} service does not start:\n{stack.log(service)}")
        time.sleep(0.5)


def tell_of_models(stack: Stack, services: Sequence[str]) -> None:
    """The stack does not wait for them: a large model takes longer than anybody looks at a terminal."""
    for service in services:
        if stack.restarts(service):
            words = stack.log(service).splitlines()[-1:]
            step(f"{service} ends and starts again and again. It says why: {' '.join(words)}")
        elif stack.health(service) != "healthy":
            step(
                f"{service} reads its weights, which takes minutes: until then users are told that it does not answer."
            )
            step(f"How far it is: docker logs -f {stack.container(service)[:12]}")


def make_first_admin(stack: Stack) -> str:
    """Name of the first administrator, whose password is in `stack.password` unless somebody changed it since."""
    name = (stack.settings.get("CELLAR_ADMINS") or "admin").replace(",", " ").split()[0]
    known = stack.run("exec", "-T", "hub", "cellar-hub", "users", "list", "--names")
    if known.returncode != 0:
        raise SystemExit(f"The list of users could not be read:\n{(known.stderr or known.stdout).strip()[-1000:]}")
    if name not in known.stdout.split():
        password = secrets.token_urlsafe(12)
        write_private(stack.password, password + "\n")
        add = (
            "exec",
            "-T",
            "-e",
            "CELLAR_OPERATOR=make hub",
            "hub",
            "cellar-hub",
            "users",
            "add",
            name,
            "--admin",
            "--password-stdin",
        )
        done = stack.run(*add, stdin=password + "\n")
        if done.returncode != 0:
            raise SystemExit(
                f"The first administrator could not be made:\n{(done.stderr or done.stdout).strip()[-1000:]}"
            )
    return name


def images_of(overlays: Sequence[str]) -> list[str]:
    """What a stack with these overlays is made of."""
    own = [name for name in images.NAMES if name != "model" or not {"vllm", images.ROUTER} & set(overlays)]
    of_overlays = [images.OVERLAYS] if OVERLAY_SERVICES & set(overlays) else []
    return [*own, *of_overlays, *(name for name in overlays if name == images.ROUTER)]


def start(stack: Stack, build: bool = True) -> None:
    """Until it is ready. Raises SystemExit with words for a person."""
    if build:
        for name in images_of(stack.overlays):
            images.build(name)
    step("starting the stack")
    stack.up()
    listen, port = address(stack.settings)
    host = "127.0.0.1" if listen in ("0.0.0.0", "::") else listen
    path = stack.settings.get("CELLAR_BASE_PATH") or "/"
    wait_until_ready(stack, f"http://{host}:{port}{path}")
    for service in ("gateway", "console", *sorted(OVERLAY_SERVICES & set(stack.overlays))):
        wait_until_well(stack, service)
    name = make_first_admin(stack)
    url = stack.settings.get("CELLAR_PUBLIC_URL") or f"http://{host}:{port}"
    print(f"\nCellar Hub is ready: {url}{path}\n", flush=True)
    if stack.password.is_file():
        step(f"Log in as {name}; the password is in {shown(stack.password)} (only you can read it).")
    step("More users: hub_config/compose/cellar-hub users add NAME")
    if own := [name for name in stack.overlays if name in MODEL_SERVICES]:
        tell_of_models(stack, own)
    elif images.ROUTER not in stack.overlays and not any(map(stack.settings.get, ("VLLM_BASE_URL", "CELLAR_MODELS"))):
        step("The model here is tiny: it shows how Cellar works, and it is often wrong. For real answers:")
        step(f"VLLM_BASE_URL in {shown(ENV)}, or OVERLAYS=vllm on a machine with GPUs.")


def start_or_say_what_runs(stack: Stack, build: bool) -> None:
    """What runs already goes on: nobody's workspace ends because of a wrong setting."""
    try:
        start(stack, build)
    except SystemExit as problem:
        if stack.run("ps", "-q").stdout.strip():
            raise SystemExit(
                f"{problem}\nWhat was started goes on, and tries again; `make hub-down` ends it."
            ) from None
        raise


def stay(stack: Stack) -> None:
    step("Ctrl-C ends the hub and all workspaces; users' files stay. (DETACH=1 make hub leaves it running.)")
    print(flush=True)
    while True:
        if not stack.container("proxy"):
            raise SystemExit("The stack was ended by somebody else.")
        time.sleep(5)


def main(arguments: Sequence[str]) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, end_on_signal)
    require_docker()
    if os.environ.get("PORT"):
        os.environ["CELLAR_PORT"] = os.environ["PORT"]
    if list(arguments) == ["down"]:
        if not ENV.is_file():
            raise SystemExit(f"There is no {shown(ENV)}: no hub was started from here.")
        Stack(read_env()).down()
        step("Cellar Hub has ended. Users' files are in their volumes; `make hub` starts it again.")
        return
    if (COMPOSE / ".restore").exists():
        raise SystemExit("A restore did not come to its end: hub_config/compose/cellar-hub restore --undo")
    write_env()
    stack = Stack(read_env())
    check_env(ENV.read_text(), shown(ENV), _known(), "".join(path.read_text() for path in stack.files))
    if "postgres" in stack.overlays:
        check_passwords(stack.settings, shown(ENV))
    require_port(stack)
    try:
        start_or_say_what_runs(stack, build=os.environ.get("BUILD") != "0")
        if os.environ.get("DETACH", "") in ("", "0"):
            stay(stack)
    except Ended:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)
        step("ending Cellar Hub")
        stack.down()
        step("Cellar Hub has ended. Users' files are in their volumes.")


if __name__ == "__main__":
    main(sys.argv[1:])
