"""What of Cellar's own source a bundle carries: compose files, vLLM's presets, manuals, the program itself.

Only what is named here travels: a site's `.env`, keys, certificates and passwords lie in the same folders.
"""

from __future__ import annotations

import ast
import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

from cellar_offline import imagelist, pyz
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.recipe import Recipe
from cellar_offline.imagelist import Listed
from cellar_offline.target import Preset, Target

CONFIGURATION = (
    *("hub_config/compose/docker-compose*.yml", "hub_config/compose/.env.example", "hub_config/compose/*.template"),
    *("hub_config/compose/backup.sh", "hub_config/compose/cellar-hub", "hub_config/compose/site/README.md"),
    *("hub_config/cellar_vllm/*.py", "hub_config/cellar_vllm/presets.toml", "hub_config/vllm/*"),
    "hub_config/monitoring/*",
)
DOCS = ("docs/*.md", "README.md", "CHANGELOG.md", "LICENSE")
TOOL = "cellar-offline.pyz"
LICENCE = "BSD-3-Clause"


@dataclass(frozen=True)
class Own:
    """A file of ours: where it goes in the release, and where it lies."""

    path: str
    file: Path
    kind: str

    @property
    def mode(self) -> str:
        return "0755" if os.access(self.file, os.X_OK) else "0644"


class House:
    """The source tree."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def version(self) -> str:
        project = tomllib.loads((self.root / "pyproject.toml").read_text())["project"]
        return str(project["version"])

    def files(self, docs: bool) -> list[Own]:
        """In order. CannotBuild when something that must be there is not."""
        found = [Own(path, file, "config") for path, file in self._matching(CONFIGURATION)]
        if docs:
            found += [
                Own(path if path.startswith("docs/") else f"docs/{path}", file, "doc")
                for path, file in self._matching(DOCS)
            ]
        return found

    def _matching(self, patterns: Sequence[str]) -> Iterator[tuple[str, Path]]:
        for pattern in patterns:
            files = [path for path in sorted(self.root.glob(pattern)) if path.is_file() and not path.is_symlink()]
            if not files:
                raise CannotBuild(f"There is no {pattern} in {self.root}: is that Cellar's source?")
            yield from ((path.relative_to(self.root).as_posix(), path) for path in files)

    def images(self) -> tuple[Listed, ...]:
        """images.json. CannotBuild."""
        path = self.root / imagelist.PATH
        try:
            return imagelist.parse(path.read_bytes())
        except (OSError, imagelist.BadList) as error:
            raise CannotBuild(str(error)) from None

    def wanted_images(self, recipe: Recipe) -> list[Listed]:
        """The rows of images.json that this bundle is to hold, and the site's own. CannotBuild for an unknown name."""
        asked = recipe.images
        if asked is None:
            return []
        for overlay in asked.overlays:
            if not (self.root / f"hub_config/compose/docker-compose.{overlay}.yml").is_file():
                raise CannotBuild(f"[images] overlays: there is no overlay {overlay!r}.")
        listed = self.images()
        names = {_name(row): row for row in listed}
        if unknown := sorted(set(asked.leave_out) - names.keys()):
            raise CannotBuild(f"[images] leave_out: {unknown[0]!r} is none of {', '.join(sorted(names))}.")
        found = [row for row in listed if row.wanted(asked.overlays) and _name(row) not in asked.leave_out]
        if twice := next((name for _, name in asked.more if name in {row.image for row in found}), ""):
            raise CannotBuild(f"[images.more]: {twice} is in the bundle already.")
        own = [Listed(each, "CELLAR_WORKSPACE_IMAGES", None, "spawner", label=label) for label, each in asked.more]
        return [*found, *own]

    def requirements(self, image: str) -> list[str]:
        """What is installed into one of our images beside our own wheel. CannotBuild."""
        tools: Any = importlib.import_module("tools.images")
        if image not in (*tools.NAMES, tools.ROUTER):
            raise CannotBuild(f"There is no image {image!r} with Python packages of its own.")
        found: list[str] = tools.requirements(image)
        return found

    def target(self, recipe: Recipe) -> Target:
        """target.json's content. CannotBuild when its preset is none."""
        presets = self.presets()
        goal = recipe.target
        if goal.preset and goal.preset not in [each.name for each in presets]:
            known = ", ".join(each.name for each in presets)
            raise CannotBuild(f"[target] preset = {goal.preset!r} is none of {known}.")
        weights = tuple(f"weights/{each.name}" for each in recipe.weights)
        return Target(recipe.overlays, goal.preset, presets, goal.driver, goal.memory_gib, weights)

    def presets(self) -> tuple[Preset, ...]:
        table = tomllib.loads((self.root / "hub_config/cellar_vllm/presets.toml").read_text())
        return tuple(
            Preset(
                name=row["name"],
                gpu_gib=float(row["gpu_gib"]),
                weights_gib=round(sum(float(each["weights_gib"]) for each in row["serve"]), 2),
                note=row.get("note", ""),
            )
            for row in table["preset"]
        )


def write_tool(path: Path) -> None:
    """The zipapp. CannotBuild when a file of it is not for Python 3.9."""
    for source in sorted(pyz.SOURCE.rglob("*.py")):
        if not set(source.relative_to(pyz.SOURCE).parts) & set(pyz.LEFT_OUT):
            try:
                ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 9))
            except SyntaxError as error:
                raise CannotBuild(f"{source.name}, line {error.lineno}, is not for Python 3.9: {error.msg}.") from None
    pyz.write(path)


def _name(row: Listed) -> str:
    return row.image.rpartition(":")[0]
