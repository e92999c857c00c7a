"""The site beside the releases: its settings and secrets, which outlive them, and the running stack.

    ROOT/site/compose/.env, gateway.env, admin-password, site/, tls/, weights    this site's own
    ROOT/site/compose/...           links to the compose files of the release that was started last
    ROOT/site/cellar_vllm           likewise
    ROOT/site/overlays              compose overlays of this site, one a line

So a compose project has one folder for ever, and `cellar-hub backup` finds settings and compose files where it looks.
The links lead to one release and are changed by `up` alone: what runs is not changed by a load.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cellar_offline import target
from cellar_offline.engine import Engine, EngineError
from cellar_offline.release import Release, Root, Unusable, write

OWN = (".env", "gateway.env", "admin-password", "site", "tls", "weights")
"""In site/compose: never a release's."""
GATEWAY_ENV = b"# Keys of model servers, one NAME=KEY a line: the variables that key_variable of CELLAR_MODELS names.\n"
OVERLAY = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class Site:
    """One site of one root."""

    def __init__(self, root: Root, engine: Engine) -> None:
        self.root = root
        self.engine = engine
        self.compose = root.site / "compose"
        self.env = self.compose / ".env"

    # --- settings

    def settings(self) -> dict[str, str]:
        """What stands in .env; the process's own environment wins, as in compose."""
        lines = self.env.read_text().splitlines() if self.env.is_file() else []
        pairs = (line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#"))
        found = {name.strip(): _value(text.strip()) for name, _, text in pairs}
        return found | {name: os.environ[name] for name in found if os.environ.get(name)}

    @property
    def name(self) -> str:
        return os.environ.get("CELLAR_SITE") or self.settings().get("CELLAR_SITE") or "cellar"

    def overlays(self) -> list[str]:
        try:
            return (self.root.site / "overlays").read_text().split()
        except FileNotFoundError:
            return []

    def choose_overlays(self, names: Sequence[str], release: Release) -> None:
        """Remember them. Unusable when the release has no such overlay."""
        for name in names:
            if not OVERLAY.fullmatch(name) or not (release.path / COMPOSE / f"docker-compose.{name}.yml").is_file():
                raise Unusable(f"This release has no overlay {name!r}: docker-compose.{name}.yml is not in it.")
        write(self.root.site / "overlays", "".join(f"{name}\n" for name in names).encode())

    def prepare(self, release: Release, overlays: Sequence[str] | None) -> None:
        """Everything that the stack needs of this machine, beside the release. Unusable."""
        wanted = describe(release)
        self.compose.mkdir(parents=True, exist_ok=True)
        if overlays is not None or not (self.root.site / "overlays").is_file():
            self.choose_overlays(_first_overlays(wanted) if overlays is None else overlays, release)
        for folder in ("site", "tls"):
            (self.compose / folder).mkdir(exist_ok=True)
        self._link(release)
        if not (self.compose / "gateway.env").is_file():
            write(self.compose / "gateway.env", GATEWAY_ENV, 0o600)
        self._write_env(release, wanted)

    def _link(self, release: Release) -> None:
        source = release.path / COMPOSE
        entries = {each.name for each in source.iterdir()} - set(OWN)
        for name in sorted(entries):
            _point(self.compose / name, source / name)
        for old in self.compose.iterdir():
            if old.is_symlink() and old.name not in entries and old.name not in OWN:
                old.unlink()
        _point(self.root.site / "cellar_vllm", release.path / "hub_config" / "cellar_vllm")
        weights = self.compose / "weights"
        if (release.path / "weights").is_dir() and (weights.is_symlink() or not weights.exists()):
            _point(weights, release.path / "weights")

    def _write_env(self, release: Release, wanted: target.Target) -> None:
        """From the release's example, with secrets of its own; an older .env gets what it lacks. Mode 0600."""
        example = (release.path / COMPOSE / ".env.example").read_text()
        text = self.env.read_text() if self.env.is_file() else example
        values = dict.fromkeys(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE), "")
        values = {name: secrets.token_hex(32) for name in values}
        if "DOCKER_GID" in values:
            values["DOCKER_GID"] = str(self._socket(text).stat().st_gid)
        if not self.env.is_file() and wanted.preset and len(wanted.weights) == 1:
            values |= {"VLLM_MODEL": wanted.weights[0].rpartition("/")[2], "VLLM_SERVE": f"--preset={wanted.preset}"}
            values["VLLM_API_KEY"] = secrets.token_hex(32)
        lines = []
        for line in text.splitlines():
            name, _, value = line.partition("=")
            fresh = name in values and (not value.strip() or name == "DOCKER_GID")
            lines.append(f"{name}={values[name]}" if fresh else line)
        present = {line.partition("=")[0] for line in lines}
        lines += [f"{name}={value}" for name, value in values.items() if name not in present]
        write(self.env, ("\n".join(lines) + "\n").encode(), 0o600)

    def _socket(self, text: str) -> Path:
        """Docker's. Unusable when it is on another machine."""
        named = re.search(r"^DOCKER_SOCKET=(\S+)", text, re.MULTILINE)
        host = os.environ.get("DOCKER_HOST", "")
        path = Path(
            named[1] if named else host[len("unix://") :] if host.startswith("unix://") else "/var/run/docker.sock"
        )
        if not path.is_socket():
            raise Unusable(
                f"{path} is no socket. Cellar Hub runs where Docker runs; DOCKER_SOCKET in {self.env} names it."
            )
        return path

    # --- the stack

    def tag_images(self, release: Release) -> None:
        """The names that compose files and settings ask for mean this release's images from now on. EngineError."""
        for image in release.manifest.images:
            self.engine.tag(image.id, image.reference)
            if (found := self.engine.id_of(image.reference)) != image.id:
                raise EngineError(f"{image.reference} is {found} in Docker, and {image.id} in the release.")

    def command(self) -> list[str]:
        """Compose with this site's files; to be run in `compose`. Unusable."""
        files = ["docker-compose.yml", *(f"docker-compose.{name}.yml" for name in self.overlays())]
        options = [word for name in files for word in ("-f", name)]
        return [*compose_program(), "-p", self.name, "--env-file", ".env", *options]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command(), *arguments], input=stdin, capture_output=True, text=True, cwd=self.compose
        )

    def require_images(self, release: Release) -> None:
        """Compose would look for an image that is not here in a registry. Unusable, before anything has changed."""
        done = self.run("config")
        if done.returncode != 0:
            raise Unusable(f"The settings in {self.env} do not fit: {done.stderr.strip()[-1500:]}")
        asked = set(re.findall(r"^\s+image: [\"']?([^\"'\s]+)", done.stdout, re.MULTILINE))
        brought = {image.reference for image in release.manifest.images}
        lost = sorted(name for name in asked - brought if not self.engine.id_of(name))
        if lost:
            raise Unusable(
                f"The stack asks for images that no bundle has brought: {', '.join(lost)}. Nothing is fetched. Leave "
                f"out the overlay or the setting that asks for it ({self.root.site / 'overlays'}, {self.env})."
            )

    def start(self) -> None:
        """Unusable, with the services' last words."""
        done = self.run("up", "-d", "--remove-orphans")
        if done.returncode != 0:
            raise Unusable(f"The stack did not start: {done.stderr.strip()[-2000:]}\n{self.log('socketfilter', 'hub')}")

    def log(self, *services: str) -> str:
        return self.run("logs", "--no-color", "--tail=40", *services).stdout.strip()[-3000:]

    def running(self) -> dict[str, str]:
        """Ids of the stack's running containers by service. EngineError."""
        form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
        label = f"label=com.docker.compose.project={self.name}"
        lines = self.engine.ask("ps", "--no-trunc", "--filter", label, "--format", form).splitlines()
        return dict(line.split(" ", 1) for line in lines if not line.startswith(" "))

    def started(self) -> str:
        """The id of the release that `up` started last; "" for none."""
        try:
            return Path(os.readlink(self.root.site / "cellar_vllm")).parts[-3]
        except (OSError, IndexError):
            return ""


COMPOSE = Path("hub_config") / "compose"


def describe(release: Release) -> target.Target:
    """What the release says of its targets. target.BadTarget."""
    path = release.path / target.PATH
    return target.parse(path.read_bytes()) if path.is_file() else target.Target()


def _first_overlays(wanted: target.Target) -> list[str]:
    """Where nobody has chosen: vLLM, if the bundle is for a card. The others want settings first."""
    return ["vllm"] if wanted.preset and "vllm" in wanted.overlays else []


@cache
def compose_program() -> tuple[str, ...]:
    """Unusable when there is none."""
    for words in (("docker", "compose"), ("docker-compose",)):
        try:
            if subprocess.run([*words, "version"], capture_output=True).returncode == 0:
                return words
        except FileNotFoundError:
            continue
    raise Unusable("Docker Compose is not here. On Debian: apt-get install docker-compose, or docker-compose-plugin.")


def _point(link: Path, to: Path) -> None:
    """Unusable where somebody has put a file of their own in the link's place."""
    if link.exists() and not link.is_symlink():
        raise Unusable(f"{link} is in the place of a file of the release. Give yours another name.")
    unfinished = link.with_name(f".{link.name}.part")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(os.path.relpath(to, link.parent))
    unfinished.replace(link)


def _value(text: str) -> str:
    """As compose reads it: quoted as it is, else without the remark behind it."""
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
