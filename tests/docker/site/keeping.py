"""`cellar-hub backup` and `restore` as an administrator calls them: the script beside the compose files and .env."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cellar_hub.spawner import names

from tests.docker.site.installation import Installation
from tools import hub
from tools.env_example import COMPOSE


@dataclass
class Keeping:
    """An installation with a folder of compose files of its own, in which its .env is."""

    site: Installation
    folder: Path

    @classmethod
    def of(cls, site: Installation) -> Keeping:
        """From now on the installation's settings are those of this folder."""
        kept = cls.beside(site)
        kept.take_over()
        return kept

    @classmethod
    def beside(cls, site: Installation) -> Keeping:
        folder = site.folder / "compose"
        shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns(".env", "admin-password*", "*.env", ".restore"))
        env = folder / ".env"
        shutil.copy(site.stack.env, env)
        hub.write_gateway_env(folder / "gateway.env")
        return cls(site, folder)

    def take_over(self) -> None:
        """The settings that stand in .env now."""
        env = self.folder / ".env"
        self.site.stack = hub.Stack(hub.read_env(env), env, self.folder / "admin-password")

    def command(self, *words: str) -> list[str]:
        return ["sh", str(self.folder / "cellar-hub"), *words]

    def env(self) -> dict[str, str]:
        """With the image by its id: where there is no .env, its name may mean what somebody else has just built."""
        home = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "SUDO_USER": "kim"}
        return home | {"CELLAR_HUB_IMAGE": self.site.stack.settings["CELLAR_HUB_IMAGE"]}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.env(), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def done(self, *words: str) -> str:
        """What it said, when it ended well."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    def throw_away(self) -> None:
        """Containers, networks, volumes, workspaces' too, and .env: as on a new machine."""
        self.site.stack.down()
        for label in (f"com.docker.compose.project={self.site.name}", f"{names.SITE}={self.site.name}"):
            for volume in self.site.client.volumes(filters={"label": label})["Volumes"] or []:
                self.site.client.remove_volume(volume["Name"])
        shutil.rmtree(self.site.files)
        for path in (self.folder / ".env", self.folder / "gateway.env", self.site.folder / "gateway.env"):
            path.unlink(missing_ok=True)
