"""Which releases run, and whether those that speak to each other belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version

from .answers import get
from .findings import Failed

CELLAR = "jupyter-cellar"
HUB = "jupyterhub"
SHARED = (CELLAR, HUB)
"""What hub, gateway and workspaces all hold."""
HERE = (CELLAR, HUB, "dockerspawner", "starlette", "uvicorn", "sqlalchemy")


def here() -> str:
    return ", ".join(f"{name} {version(name)}" for name in HERE)


def of_service(url: str) -> str:
    """`url`: where gateway or console say that they live. They and the hub come from one image."""
    try:
        theirs = str(json.loads(get(url)[1]).get("version", ""))
    except ValueError:
        raise Failed(f"{url} does not answer as a service of the hub does") from None
    if theirs != version(CELLAR):
        raise Failed(
            f"is {f'Cellar {theirs}' if theirs else 'of an older release'}, and the hub is Cellar {version(CELLAR)}."
            " Both are made from CELLAR_HUB_IMAGE: start the stack again (make hub, or docker compose up -d)"
        )
    return f"answers, Cellar {theirs} as here"


def of_hub(theirs: str) -> str:
    """`theirs`: the version of the JupyterHub that answers."""
    if theirs != version(HUB):
        raise Failed(
            f"is JupyterHub {theirs}, and {version(HUB)} is installed here."
            " Both are made from CELLAR_HUB_IMAGE: start the stack again (make hub, or docker compose up -d)"
        )
    return f"JupyterHub {theirs}"


def of_image(name: str, inside: Mapping[str, str]) -> str:
    """What a workspace's image holds against what is here. A missing package is an empty text."""
    mend = f"Build or load the image of this release (make hub builds them), and name it instead of {name}"
    if not inside.get(CELLAR) or not inside.get(HUB):
        what = "Cellar" if not inside.get(CELLAR) else "JupyterHub"
        raise Failed(f"there is no {what} in it, so it is no workspace. {mend} in CELLAR_WORKSPACE_IMAGES")
    if inside[CELLAR] != version(CELLAR):
        raise Failed(
            f"it holds Cellar {inside[CELLAR]}, and the hub is {version(CELLAR)}: what the panel offers may not work."
            f" {mend}; then users stop and start their workspaces"
        )
    if _line(inside[HUB])[0] != _line(version(HUB))[0]:
        raise Failed(
            f"it holds JupyterHub {inside[HUB]}, and the hub is {version(HUB)}: a workspace may not log in. {mend}"
        )
    said = f"Cellar {inside[CELLAR]} and JupyterHub {inside[HUB]} as here"
    if _line(inside[HUB]) != _line(version(HUB)):
        said = (
            f"Cellar {inside[CELLAR]} as here; its JupyterHub {inside[HUB]} is not the hub's {version(HUB)}, and works"
        )
    return said


def _line(text: str) -> tuple[str, ...]:
    """("6", "1") of 6.1.1: releases of one line work together."""
    return tuple(text.split(".")[:2])
