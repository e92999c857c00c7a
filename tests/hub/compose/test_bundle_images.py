"""images.json names every image that a site can start: a bundle without one of them would look whole."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cellar.settings import SettingsError
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.profiles import profiles_of
from cellar_hub.values import parse_images
from cellar_offline import imagelist

from tests.hub.compose.test_compose import BASE, OVERLAYS, SECRETS, commands, configured
from tests.hub.test_settings import NEEDED
from tools import images
from tools.env_example import COMPOSE, sections

LISTED = imagelist.parse((COMPOSE / "images.json").read_bytes())
BY_SPAWNER = {row.image for row in LISTED if row.starts == "spawner"}


def overlay_of(path: Path) -> str:
    return path.name.removeprefix("docker-compose.").removesuffix(".yml")


@cache
def rendered(*overlays: Path) -> dict[str, Any]:
    if not commands():
        pytest.skip("docker-compose is missing")
    done = configured(commands()[0], [BASE, *overlays], SECRETS)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


def listed(*overlays: str) -> set[str]:
    return {row.image for row in LISTED if row.starts == "compose" and row.wanted(overlays)}


def started(services: dict[str, Any]) -> set[str]:
    return {service["image"] for service in services.values() if not service.get("profiles")}


@pytest.mark.parametrize("overlays", [[], OVERLAYS], ids=lambda paths: len(paths))
def test_compose_starts_exactly_the_images_that_are_listed_for_its_overlays(overlays: list[Path]) -> None:
    assert started(rendered(*overlays)) == listed(*map(overlay_of, overlays))


@pytest.mark.parametrize("path", OVERLAYS, ids=overlay_of)
def test_an_overlay_brings_exactly_the_images_that_are_listed_for_it(path: Path) -> None:
    """Read as text, since each rendering takes seconds."""
    found = yaml.safe_load(path.read_text())["services"]
    lines = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", each["image"]) for name, each in found.items() if "image" in each}
    gone = {image for image in listed() if image.startswith("cellar-model:")} if "model" in found else set()
    assert (listed() - gone) | set(lines.values()) == listed(overlay_of(path))


def test_every_image_line_of_the_compose_files_has_the_setting_and_the_default_of_the_list() -> None:
    text = "".join(path.read_text() for path in (BASE, *OVERLAYS))
    lines = re.findall(r"(?m)^ *image: (\S+)", text)
    listed = {f"${{{row.setting}:-{row.image}}}" for row in LISTED if row.starts == "compose"}
    assert lines and set(lines) == listed


def test_the_spawner_and_its_filter_may_start_exactly_the_listed_images() -> None:
    """The hub's containers and its probe are started from this setting, and the filter refuses every other image."""
    found = rendered()
    for service in ("hub", "socketfilter"):
        value = found[service]["environment"]["CELLAR_WORKSPACE_IMAGES"]
        assert set(parse_images(value, "CELLAR_WORKSPACE_IMAGES").values()) == BY_SPAWNER
    asked = {row.setting for row in LISTED if row.starts == "spawner"}
    assert asked == {"CELLAR_WORKSPACE_IMAGES"}


def test_a_profile_can_name_no_image_beside_the_setting(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    env = NEEDED | {"CELLAR_WORKSPACE_IMAGES": ",".join(BY_SPAWNER), "CELLAR_PROFILES": str(profiles)}
    settings = HubSettings.from_env(env)
    profiles.write_text('[a]\ntitle = "A"\ncpus = 1\nmemory = "1G"\n')
    assert {settings.images[profile.image] for profile in profiles_of(settings)} == BY_SPAWNER
    profiles.write_text('[a]\ntitle = "A"\nimage = "alpine"\ncpus = 1\nmemory = "1G"\n')
    with pytest.raises(SettingsError, match="image"):
        profiles_of(settings)


def test_every_setting_of_an_image_is_listed() -> None:
    told = {name for _, entries in sections() for name, _, _ in entries if name.endswith(("_IMAGE", "_IMAGES"))}
    assert told == {row.setting for row in LISTED if row.setting}


def test_every_image_that_is_made_here_is_listed_and_the_other_way_round() -> None:
    made = {folder.parent.name for folder in images.IMAGES.glob("*/Dockerfile")}
    assert {row.built for row in LISTED if row.built} == made
    for row in LISTED:
        if row.built and row.setting:
            assert row.image == images.tag(row.built).rpartition(":")[0] + ":dev"


def test_the_list_of_a_bundle_says_what_to_set() -> None:
    rows = [row.called(row.image.replace(":dev", ":7")) for row in LISTED if row.wanted(["redis"])]
    rows.append(imagelist.Listed("registry.example/gpu:3", "CELLAR_WORKSPACE_IMAGES", None, "spawner", label="gpu"))
    again = imagelist.parse(imagelist.dump(rows))
    assert list(again) == rows
    assert imagelist.settings(again) == {
        "CELLAR_HUB_IMAGE": "cellar-hub:7",
        "CELLAR_WORKSPACE_IMAGES": "cellar-workspace:7,gpu=registry.example/gpu:3",
        "CELLAR_MODEL_IMAGE": "cellar-model:7",
        "CELLAR_OVERLAYS_IMAGE": "cellar-overlays:7",
    }


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"images": [{"image": "a"}]}', b'{"images": [], "more": 1}'])
def test_a_list_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(imagelist.BadList, match=r"images\.json"):
        imagelist.parse(text)
