"""Which sizes and images a user may choose: the profile file (TOML), parsed strictly, and the choice. Pure.

    [standard]                      # the first one that a user may have is preselected
    title = "Standard"
    image = "data"                  # a label of CELLAR_WORKSPACE_IMAGES; absent: the first of them
    cpus = 2
    memory = "4G"

    [large]
    title = "Large, with a GPU"
    groups = ["research"]           # for members only; absent: for everybody; []: for whom the policy names it
    cpus = 8
    memory = "32G"
    pids = 4096                     # absent: CELLAR_WORKSPACE_PIDS
    shared_memory = "2G"            # /dev/shm; absent: 256M
    gpus = ["0", "1"]               # device ids or UUIDs that this profile's workspaces share out
    gpus_each = 1                   # how many one workspace gets, for itself alone

`cpus` and `memory` must stand in every profile: a workspace without limits takes the machine from everybody. The policy
(`cellar_hub.policy`) opens profiles to more people by `profiles`, and says what somebody by name may choose.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from cellar.settings import SettingsError

from cellar_hub.policy import Allowed
from cellar_hub.settings import HubSettings
from cellar_hub.values import parse_size
from cellar_hub.watchedfile import WatchedFile

MIB, GIB = 1024**2, 1024**3
LEAST_MEMORY = 128 * MIB


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Memory and shared memory in bytes."""

    name: str
    title: str
    image: str  # a label
    cpus: float
    memory: int
    pids: int
    shared_memory: int = 256 * MIB
    groups: frozenset[str] | None = None  # None: everybody
    gpus: tuple[str, ...] = ()
    gpus_each: int = 0

    @property
    def size(self) -> str:
        memory = f"{self.memory / 1024**3:.3g} GB" if self.memory >= 1024**3 else f"{self.memory // MIB} MB"
        gpus = f", {self.gpus_each} GPU" if self.gpus_each else ""
        return f"{self.cpus:g} CPU, {memory}{gpus}"


class NotOffered(Exception):
    """The user may not have this; the message is for them."""


def profiles_of(settings: HubSettings) -> tuple[Profile, ...]:
    """From the file, or the one that the settings describe. Raises SettingsError that names the file and the key."""
    if settings.profiles is None:
        standard = {"title": "Standard", "cpus": settings.cpus, "memory": str(settings.memory)}
        return (_profile("standard", standard, settings, "CELLAR_WORKSPACE_MEMORY"),)
    try:
        text = settings.profiles.read_text()
        tables = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise SettingsError("CELLAR_PROFILES", f"cannot be read: {error}") from None
    if not tables:
        raise SettingsError("CELLAR_PROFILES", "has no profile")
    source = str(settings.profiles)
    return tuple(_profile(name, table, settings, source) for name, table in tables.items())


def watched_profiles(settings: HubSettings) -> Callable[[], tuple[Profile, ...]]:
    """What there is, by the file as it is whenever this is called. One that is broken by then, or that the socket
    filter would refuse, changes nothing but the log; raises SettingsError when it is so now."""

    def read(path: Path) -> tuple[Profile, ...]:
        found = profiles_of(settings)
        check_bounds(found, settings)
        return found

    if settings.profiles is None:
        only = profiles_of(settings)
        return lambda: only
    return WatchedFile(settings.profiles, read, "the list of profiles").current


_KINDS: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "image": str,
    "cpus": (int, float),
    "memory": str,
    "pids": int,
    "shared_memory": str,
    "groups": list,
    "gpus": list,
    "gpus_each": int,
}


def _profile(name: str, table: Any, settings: HubSettings, source: str) -> Profile:
    def wrong(key: str, problem: str) -> SettingsError:
        return SettingsError(f"{source}: {name}.{key}" if key else f"{source}: {name}", problem)

    if not isinstance(table, dict) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,30}", name, re.ASCII):
        raise wrong("", "must be a table with a short plain name")
    for key, value in table.items():
        if key not in _KINDS or not isinstance(value, _KINDS[key]) or isinstance(value, bool):
            raise wrong(key[:40], "is not known or not of its kind")
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise wrong(key, "must be a list of texts")
    for key in ("cpus", "memory"):
        if key not in table:
            raise wrong(key, "must be given")
    image = table.get("image", next(iter(settings.images)))
    if image not in settings.images:
        raise wrong("image", f"must be one of {', '.join(settings.images)}")
    gpus = tuple(table.get("gpus", ()))
    each = table.get("gpus_each", 1 if gpus else 0)
    profile = Profile(
        name=name,
        title=table.get("title", name),
        image=image,
        cpus=float(table["cpus"]),
        memory=parse_size(table["memory"], f"{source}: {name}.memory"),
        pids=table.get("pids", settings.pids),
        shared_memory=parse_size(table.get("shared_memory", "256M"), f"{source}: {name}.shared_memory"),
        groups=frozenset(table["groups"]) if "groups" in table else None,
        gpus=gpus,
        gpus_each=each,
    )
    if not 0.01 <= profile.cpus <= 4096:
        raise wrong("cpus", "must be a number of processor cores")
    if profile.memory < LEAST_MEMORY:
        raise wrong("memory", "must be at least 128M")
    if not 64 <= profile.pids <= 65536:
        raise wrong("pids", "must be from 64 to 65536")
    if not 0 <= each <= len(gpus) or (gpus and not each):
        raise wrong("gpus_each", "must be from 1 to the number of gpus")
    return profile


def check_bounds(profiles: Sequence[Profile], settings: HubSettings) -> None:
    """Raises SettingsError for a profile, or a runtime, that the socket filter would refuse at each start."""
    for each in profiles:
        bounds = (
            ("cpus", each.cpus, settings.filter_cpus, "MAX_CPUS", "processor cores"),
            ("memory", each.memory / GIB, settings.filter_memory, "MAX_MEMORY_GB", "GiB"),
            ("pids", each.pids, settings.filter_pids, "MAX_PIDS", "processes"),
        )
        for key, asked, most, variable, unit in bounds:
            if asked > most:
                problem = f"asks for {asked:g} {unit}, and CELLAR_FILTER_{variable} lets {most} through: change either"
                raise SettingsError(_where(each, key, settings), problem)
        wrong = [gpu for gpu in each.gpus if gpu not in settings.filter_gpus]
        if wrong and "all" not in settings.filter_gpus:
            problem = f"has the GPU {wrong[0]!r}, which CELLAR_FILTER_GPUS does not let through: name it there"
            raise SettingsError(_where(each, "gpus", settings), problem)
    if settings.runtime not in ("", "runc", *settings.filter_runtimes):
        problem = f"is {settings.runtime!r}, which CELLAR_FILTER_RUNTIMES does not let through: name it there"
        raise SettingsError("CELLAR_WORKSPACE_RUNTIME", problem)


def _where(profile: Profile, key: str, settings: HubSettings) -> str:
    """What to correct: the key in the file, or the variable that stands for it without one."""
    if settings.profiles is None or (key == "pids" and profile.pids == settings.pids):
        return f"CELLAR_WORKSPACE_{key.upper()}"
    return f"CELLAR_PROFILES ({settings.profiles}): {profile.name}.{key}"


def offered(profiles: Sequence[Profile], groups: Iterable[str], allowed: Allowed | None = None) -> tuple[Profile, ...]:
    """What a user of these groups, to whom the policy allows this, may choose, in the file's order."""
    of = set(groups)
    policy = allowed or Allowed()
    if policy.only_profiles is not None:
        return tuple(profile for profile in profiles if profile.name in policy.only_profiles)
    return tuple(
        profile
        for profile in profiles
        if profile.groups is None or profile.groups & of or profile.name in policy.profiles
    )


def choose(choices: Sequence[Profile], options: Mapping[str, Any]) -> Profile:
    """The profile that these user options ask for. Only `profile` counts; nothing else of a request is looked at, so
    that nobody brings an image, a limit or a mount of their own. Raises NotOffered."""
    if not choices:
        raise NotOffered("No workspace profile is open to your groups. Please ask your administrator.")
    wanted = options.get("profile")
    if wanted is None:
        return choices[0]
    for profile in choices:
        if profile.name == wanted:
            return profile
    raise NotOffered(f"The workspace profile {str(wanted)[:40]!r} is not offered to you.")


def share_gpus(profile: Profile, taken: Iterable[str]) -> tuple[str, ...]:
    """The devices for one more workspace of this profile. Raises NotOffered when too few are free."""
    busy = set(taken)
    free = [gpu for gpu in profile.gpus if gpu not in busy]
    if len(free) < profile.gpus_each:
        raise NotOffered(f"All GPUs of the profile {profile.title!r} are in use. Please try again later.")
    return tuple(free[: profile.gpus_each])


def options_form(choices: Sequence[Profile]) -> str:
    """HTML for the hub's spawn page; empty when there is nothing to choose: the workspace then starts at once."""
    if len(choices) < 2:
        return ""
    rows = [
        '<div class="form-check my-2">'
        f'<input class="form-check-input" type="radio" name="profile" id="profile-{escape(each.name)}"'
        f' value="{escape(each.name)}"{" checked" if index == 0 else ""}>'
        f'<label class="form-check-label" for="profile-{escape(each.name)}"><strong>{escape(each.title)}</strong><br>'
        f'<span class="text-muted">{escape(each.size)}, {escape(each.image)}</span></label></div>'
        for index, each in enumerate(choices)
    ]
    return "<fieldset>" + "".join(rows) + "</fieldset>"


def options_from_form(form: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What the form sends, cut to what it offers."""
    return {"profile": form["profile"][0][:40]} if form.get("profile") else {}
