"""The site beside the releases: its settings and secrets, which outlive them, and the running stack.

    ROOT/site/compose/.env, gateway.env, admin-password, site/, tls/, weights    this site's own
    ROOT/site/compose/...           links to the compose files of the release that was started last
    ROOT/site/cellar_vllm           likewise
    ROOT/site/overlays              compose overlays of this site, one a line

So a compose project has one folder for ever, and `cellar-hub backup` finds settings and compose files where it looks.
The links lead to one release and are changed by `up` alone: what runs is not changed by a load. A link's own time is
when it began to lead to something else than before; a container that is older and sees it, sees what was there then.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cellar_offline import containers, target
from cellar_offline.containers import Container
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

    def choose_overlays(self, release: Release, named: Sequence[str] | None) -> list[str]:
        """Those that were named, or those of before. Unusable when the release has no such overlay."""
        known = (self.root.site / "overlays").is_file()
        names = self.overlays() if known else _first_overlays(describe(release))
        chosen = names if named is None else list(named)
        for name in chosen:
            if not OVERLAY.fullmatch(name) or not (release.path / COMPOSE / f"docker-compose.{name}.yml").is_file():
                raise Unusable(f"This release has no overlay {name!r}: docker-compose.{name}.yml is not in it.")
        return chosen

    def prepare(self, release: Release) -> None:
        """What the release needs of this machine and does not find yet. What runs reads none of it. Unusable."""
        if (self.compose / ".restore").exists():
            raise Unusable(f"A restore did not come to its end: {self.compose / 'cellar-hub'} restore --undo")
        for folder in ("site", "tls"):
            (self.compose / folder).mkdir(parents=True, exist_ok=True)
        if not (self.compose / "gateway.env").is_file():
            write(self.compose / "gateway.env", GATEWAY_ENV, 0o600)
        self._write_env(release, describe(release))

    def switch(self, release: Release, overlays: Sequence[str]) -> None:
        """The links lead to this release from now on. Unusable before the first, when one cannot be made."""
        source = release.path / COMPOSE
        links = {self.compose / each.name: each for each in sorted(source.iterdir()) if each.name not in OWN}
        weights = self.compose / "weights"
        if (release.path / "weights").is_dir() and (weights.is_symlink() or not weights.exists()):
            links[weights] = release.path / "weights"
        links[self.root.site / "cellar_vllm"] = release.path / "hub_config" / "cellar_vllm"  # the last: see `started`
        for link in links:
            if link.exists() and not link.is_symlink():
                raise Unusable(f"{link} is in the place of a file of the release. Give yours another name.")
        write(self.root.site / "overlays", "".join(f"{name}\n" for name in overlays).encode())
        last = self.started()
        old = self.root.find(last) if last else None
        for link, to in links.items():
            place = to.relative_to(release.path).as_posix()
            point(link, to, same=old is not None and _below(place, old) == _below(place, release))
        for each in self.compose.iterdir():
            if each.is_symlink() and each not in links and each.name not in OWN:
                each.unlink()

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

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Compose with the files that the links lead to. Unusable."""
        return self._run([*_options(self.overlays(), ""), *arguments], stdin)

    def _run(self, words: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [*compose_program(), "-p", self.name, "--env-file", str(self.env), *words]
        # It goes on when this program is killed: two of them at once would take each other's containers away.
        lock = self.root.lock
        return subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=self.compose, pass_fds=lock)

    def require_images(self, release: Release, overlays: Sequence[str]) -> None:
        """Compose would look for an image that is not here in a registry. Unusable, before anything has changed."""
        files = _options(overlays, f"{release.path / COMPOSE}/")
        done = self._run(["--project-directory", str(self.compose), *files, "config"])
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
        """Compose makes anew what has another image or other settings; who only reads other files, it does not see.
        Unusable, with the services' last words; EngineError."""
        self._start()
        if behind := [service for service, each in self.running().items() if each.is_behind()]:
            self._start("--no-deps", "--force-recreate", *behind)

    def _start(self, *words: str) -> None:
        done = self.run("up", "-d", *(words or ("--remove-orphans",)))
        if done.returncode != 0:
            ill = [service for service, each in self.running().items() if not each.is_well]
            raise Unusable(f"{done.stderr.strip()[-2000:]}\n{self.log(*(ill or ('socketfilter', 'hub')))}")

    def log(self, *services: str) -> str:
        return self.run("logs", "--no-color", "--tail=40", *services).stdout.strip()[-3000:]

    def running(self) -> dict[str, Container]:
        """The stack's containers by service. EngineError."""
        return containers.of_project(self.engine, self.name)

    def started(self) -> str:
        """The id of the release that `up` started last, whether it did start or not; "" for none."""
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


def _options(overlays: Sequence[str], folder: str) -> list[str]:
    """Compose's, with its files in a folder ("" is where it is run)."""
    files = ["docker-compose.yml", *(f"docker-compose.{name}.yml" for name in overlays)]
    return [word for name in files for word in ("-f", f"{folder}{name}")]


def _below(place: str, release: Release) -> set[tuple[str, str, str]]:
    """What a release has there, a file or all of a folder: paths, hashes, modes."""
    files = release.manifest.files
    return {(each.path, each.sha256, each.mode) for each in files if f"{each.path}/".startswith(f"{place}/")}


def point(link: Path, to: Path, same: bool) -> None:
    """`same`: what it leads to now has the same content, so that the link keeps its time."""
    unfinished = link.with_name(f".{link.name}.part")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(os.path.relpath(to, link.parent))
    if same and link.is_symlink():
        before = link.lstat().st_mtime_ns
        os.utime(unfinished, ns=(before, before), follow_symlinks=False)
    unfinished.replace(link)


def _value(text: str) -> str:
    """As compose reads it: quoted as it is, else without the remark behind it."""
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
