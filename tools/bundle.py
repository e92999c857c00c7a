"""`make bundle`: an air-gap bundle of Cellar from this clone, in dist/bundle.

What goes in stands in offline/offline.toml; where there is none, in offline/offline.toml.example: the images of the
stack with the embedded model, of the overlays postgres, redis and tls, of the proof, the configuration and the manuals.
Images that are missing or not current are built first.

Environment: `KEY` the OpenSSH key that signs (without one it is a test bundle), `OUT` another folder, `SINCE` the
folder of an earlier bundle, for a delta, `BUILD=0` takes the images as they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cellar_offline import program
from cellar_offline.building.house import House
from cellar_offline.building.recipe import Recipe, read
from cellar_offline.release import Unusable

from tools import images
from tools.hub import require_docker, shown
from tools.images import ROOT, say

OWN = ROOT / "offline" / "offline.toml"
EXAMPLE = ROOT / "offline" / "offline.toml.example"
OUT = ROOT / "dist" / "bundle"


def recipe_file() -> Path:
    return OWN if OWN.is_file() else EXAMPLE


def built_here(recipe: Recipe) -> list[str]:
    """Names of the images that this bundle holds and that tools/images.py makes."""
    return [row.built for row in House(ROOT).wanted_images(recipe) if row.built]


def arguments(path: Path, recipe: Recipe) -> list[str]:
    """For `cellar-offline build`, as the environment has it."""
    found = ["build", "-c", str(path), "--out", os.environ.get("OUT") or str(OUT)]
    if since := os.environ.get("SINCE"):
        found += ["--since", since]
    if key := os.environ.get("KEY"):
        found += ["--key", key]
    elif recipe.key is None:
        say("No key: this is a test bundle, which a target takes with --allow-unsigned alone. For a site:")
        say("  ssh-keygen -t ed25519 -f bundle-key      once, then: make bundle KEY=bundle-key")
        found.append("--allow-unsigned")
    return found


def main() -> int:
    path = recipe_file()
    say(f"what goes in: {shown(path)}" + ("" if path == OWN else f" (copy it to {shown(OWN)} to change that)"))
    recipe = read(path, images.version())
    wanted = built_here(recipe)
    if recipe.images is not None:
        require_docker()
    if os.environ.get("BUILD") != "0":
        for name in wanted:
            images.build(name)
    return program.main(arguments(path, recipe))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Unusable as problem:
        raise SystemExit(str(problem)) from None
    except images.Missing as problem:
        say(str(problem))
        sys.exit(images.MISSING)
