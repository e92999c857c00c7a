"""An installation that comes from bundles: the target's program loads and starts its releases, as a person calls it.

Images are under names of this site, so that nobody else's change their meaning when a release is started.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from cellar_hub.spawner import names
from cellar_offline.building.house import House
from cellar_offline.engine import Engine
from cellar_offline.images import kept_tag
from cellar_offline.manifest import Image

from tests.docker.site.installation import Installation, unused_pool
from tests.offline.bundles import Maker
from tests.offline.conftest import OFFLINE
from tools import hub

COMPOSE = "hub_config/compose"
ROOT = Path(__file__).resolve().parents[3]


class Bundled(Installation):
    """`compose_folder` is where the site's settings and links are; `built` are images of hub, workspace and model."""

    def __init__(self, client: docker.APIClient, folder: Path, built: Sequence[str]) -> None:
        super().__init__(client, folder)
        self.maker = Maker(folder / "maker")
        self.root = folder / "cellar"
        self.compose_folder = self.root / "site" / "compose"
        self.env = self.compose_folder / ".env"
        self.images = dict(zip(("hub", "workspace", "model"), map(self._id, built), strict=True))
        self.source = {each.path: each.file.read_bytes() for each in House(ROOT).files(docs=False)}
        self.tags: list[str] = []

    # --- releases

    def changed(self, name: str, line: str = "LABEL org.cellar.test=changed") -> str:
        """The id of one of the images with a line more."""
        self.tags.append(f"cellar-{self.name}-{name}:changed-{len(self.tags)}")
        text = io.BytesIO(f"FROM {self.images[name]}\n{line}\n".encode())
        said = list(self.client.build(fileobj=text, tag=self.tags[-1], rm=True, decode=True, network_mode="none"))
        assert not any("error" in each for each in said), said
        return self._id(self.tags[-1])

    def bundle(self, version: str, files: Mapping[str, bytes], **images: str) -> Path:
        """A medium with this clone's files and images, and with others in their place."""
        medium = self.folder / version
        medium.mkdir()
        layers = Engine().images()
        there = [
            Image(f"cellar-{self.name}-{name}", "dev", id, None, id.partition(":")[2], layers[id])
            for name, id in (self.images | images).items()
        ]
        made = self.maker.make(medium, self.source | files, there=there, version=version, chunk_size=1 << 20)
        self.tags += [tag for image in there for tag in (image.reference, kept_tag(image, made))]
        return medium

    def offline(self, command: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """What the target's program says."""
        line = [sys.executable, "-m", "cellar_offline", command, "--root", str(self.root), *map(str, words)]
        return subprocess.run(line, env=os.environ | {"PYTHONPATH": str(OFFLINE)}, capture_output=True, text=True)

    def done(self, command: str, *words: str | Path) -> str:
        """The same, where it must end well."""
        done = self.offline(command, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def load(self, medium: Path) -> None:
        self.done("load", "--from", medium, "--key", self.maker.public)

    def up(self) -> None:
        self.done("up")
        self.stack.settings = hub.read_env(self.env)

    # --- start and end

    def start_from(self, medium: Path) -> None:
        """The first release, on a machine that has nothing yet but a few settings."""
        self.load(medium)
        self.compose_folder.mkdir(parents=True)
        values = {
            "CELLAR_SITE": self.name,
            "CELLAR_PORT": str(self.port),
            "CELLAR_HUB_IMAGE": f"cellar-{self.name}-hub:dev",
            "CELLAR_MODEL_IMAGE": f"cellar-{self.name}-model:dev",
            "CELLAR_WORKSPACE_IMAGES": f"standard=cellar-{self.name}-workspace:dev",
            "CELLAR_WORKSPACE_POOL": str(unused_pool(self.client)),
        }
        self.env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        self.stack = hub.Stack(hub.read_env(self.env), self.env, self.compose_folder / "admin-password")
        self.up()

    def end(self) -> None:
        try:
            if hasattr(self, "stack"):
                super().end()
        finally:
            for tag in self.tags:
                self._gone(self.client.remove_image, tag)

    # --- what is there

    def everything(self) -> dict[str, str]:
        """When each of its containers was started, workspaces too."""
        found: dict[str, Any] = {}
        for label in (f"com.docker.compose.project={self.name}", f"{names.SITE}={self.name}"):
            for each in self.client.containers(filters={"label": label}):
                found[str(each["Id"])] = self.started_at(each["Id"])
        return found

    def image_of(self, container: str) -> str:
        return str(self.client.inspect_container(container)["Image"])


@contextmanager
def bundled(client: docker.APIClient, folder: Path, built: Sequence[str]) -> Iterator[Bundled]:
    made = Bundled(client, folder, built)
    try:
        yield made
    finally:
        made.end()
