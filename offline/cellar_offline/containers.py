"""The stack's containers, as Docker knows them."""

from __future__ import annotations

import calendar
import json
import time
from dataclasses import dataclass
from pathlib import Path

from cellar_offline.engine import Engine


@dataclass(frozen=True)
class Container:
    """One that runs, or is started again and again, of the image with the id `image`, which it was given as `named`.

    `started` is in seconds since 1970; `health` what its check says, "starting", "healthy" or "unhealthy", "" where it
    has none; `binds` are files and folders of the machine that it sees, as the compose files name them.
    """

    id: str
    image: str
    named: str
    restarts: int
    started: float
    health: str
    binds: tuple[Path, ...]

    @property
    def is_well(self) -> bool:
        """As far as somebody checks it."""
        return self.health in ("", "healthy")

    def is_behind(self) -> bool:
        """Whether it still sees what one of the site's links led to before: Docker follows a link once, at the start
        (`site.point`)."""
        return any(path.is_symlink() and path.lstat().st_mtime > self.started for path in self.binds)


def of_project(engine: Engine, project: str) -> dict[str, Container]:
    """By service. EngineError."""
    labels = (f"com.docker.compose.project={project}", "com.docker.compose.oneoff=False")
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    ids = engine.ask("ps", "--quiet", "--no-trunc", *filters).split()
    found = json.loads(engine.ask("inspect", *ids)) if ids else []
    return {
        each["Config"]["Labels"]["com.docker.compose.service"]: Container(
            each["Id"],
            each["Image"],
            each["Config"]["Image"],
            each["RestartCount"],
            _seconds(each["State"]["StartedAt"]),
            (each["State"].get("Health") or {}).get("Status", ""),
            tuple(Path(mount["Source"]) for mount in each["Mounts"] if mount["Type"] == "bind"),
        )
        for each in found
    }


def _seconds(text: str) -> float:
    """Of "2026-11-30T01:45:00.5Z", with as many digits as Docker likes."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")
