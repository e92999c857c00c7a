"""images.json beside the compose files: every image that a site can start, and the setting that names it.

{"images": [{"image": "cellar-hub:dev",             as the compose files have it where nothing is set; in a bundle: as
                                                    the bundle has it (`Image.reference`)
             "setting": "CELLAR_HUB_IMAGE",         the variable of .env that names it; null: none does
             "built": "hub",                        tools/images.py makes it under this name; null: a registry has it
             "starts": "compose",                   who: "compose", "spawner" (workspaces) or "prove"
             "overlays": [],                        compose overlays that want it, one is enough; []: every stack does
             "unless": []}]}                        overlays that bring something else for it; may be absent

The image lines of compose files are not enough: workspaces are started by the hub, from a setting, and a bundle that
lacks their image looks whole. Tests compare this list with the rendered compose files, with what the spawner may start
and with what `tools/images.py` makes. Where several rows have one setting its value is all of them, with commas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

PATH = "hub_config/compose/images.json"
STARTS = ("compose", "spawner", "prove")


class BadList(ValueError):
    """images.json cannot be used; the message is for a person."""


@dataclass(frozen=True)
class Listed:
    """One row. `label` is what a workspace's image is called in profiles, where that is not its name."""

    image: str
    setting: str | None
    built: str | None
    starts: str
    overlays: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    label: str = ""

    def wanted(self, overlays: Iterable[str]) -> bool:
        there = set(overlays)
        return (not self.overlays or bool(there & set(self.overlays))) and not there & set(self.unless)

    def called(self, image: str) -> Listed:
        return replace(self, image=image)


def parse(text: bytes) -> tuple[Listed, ...]:
    """From the bytes of images.json. BadList."""
    try:
        table: dict[str, Any] = json.loads(text)
        rows = tuple(
            Listed(**{**row, "overlays": tuple(row["overlays"]), "unless": tuple(row.get("unless", ()))})
            for row in table.pop("images")
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadList(f"{PATH} cannot be read: {error}.") from None
    if table:
        raise BadList(f"{PATH} has an unknown key: {min(table)!r}.")
    for row in rows:
        if row.starts not in STARTS or not row.image:
            raise BadList(f"{PATH}: {row.image or 'an image without a name'} is started by {row.starts!r}.")
    return rows


def dump(rows: Iterable[Listed]) -> bytes:
    """The bytes of images.json."""
    seldom = ("unless", "label")
    lines = [{key: value for key, value in asdict(row).items() if value or key not in seldom} for row in rows]
    return (json.dumps({"images": lines}, indent=1, ensure_ascii=False) + "\n").encode()


def settings(rows: Iterable[Listed]) -> dict[str, str]:
    """Setting -> its value in .env, for a site that has exactly these images."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.setting:
            found.setdefault(row.setting, []).append(f"{row.label}={row.image}" if row.label else row.image)
    return {name: ",".join(images) for name, images in found.items()}
