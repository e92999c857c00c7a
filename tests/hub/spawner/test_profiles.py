"""Profiles: the file, who is offered what, and what of a request counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cellar.settings import SettingsError
from cellar_hub import watchedfile
from cellar_hub.policy import Allowed, parse_policy
from cellar_hub.settings import HubSettings
from cellar_hub.socketfilter.policy import policy_from_env
from cellar_hub.spawner.profiles import (
    NotOffered,
    check_bounds,
    choose,
    offered,
    options_form,
    options_from_form,
    profiles_of,
    share_gpus,
    watched_profiles,
)

NEEDED = {
    "CONFIGPROXY_AUTH_TOKEN": "0123456789abcdef",
    "CELLAR_GATEWAY_TOKEN": "0123456789abcdef",
    "CELLAR_WORKSPACE_IMAGES": "data=cellar-workspace:1,big=cellar-workspace:2",
}
SETTINGS = HubSettings.from_env(NEEDED)
FILE = """
[standard]
title = "Standard"
cpus = 2
memory = "4G"

[large]
title = "Large <b>"
image = "big"
groups = ["research", "ml"]
cpus = 0.5
memory = "32G"
gpus = ["0", "1", "2"]
gpus_each = 2
"""


@pytest.fixture
def settings(tmp_path: Path) -> HubSettings:
    file = tmp_path / "profiles.toml"
    file.write_text(FILE)
    return replace(SETTINGS, profiles=file)


def test_without_a_file_there_is_one_profile_with_the_settings_limits() -> None:
    (only,) = profiles_of(SETTINGS)
    assert (only.image, only.cpus, only.memory, only.pids, only.groups) == ("data", 2.0, 4 * 1024**3, 1024, None)


BOUNDS = {"filter_memory": 32, "filter_cpus": 4, "filter_pids": 2048, "filter_gpus": ("0", "1", "2")}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"filter_memory": 31}, "large.memory asks for 32 GiB, and CELLAR_FILTER_MAX_MEMORY_GB lets 31 through"),
        ({"filter_cpus": 1}, "standard.cpus asks for 2 processor cores, and CELLAR_FILTER_MAX_CPUS lets 1 through"),
        ({"filter_gpus": ("0",)}, "large.gpus has the GPU '1', which CELLAR_FILTER_GPUS does not let through"),
    ],
)
def test_a_profile_that_the_socket_filter_would_refuse_is_named_at_the_start(
    change: dict[str, Any], problem: str, settings: HubSettings
) -> None:
    within = replace(settings, **BOUNDS)
    check_bounds(profiles_of(within), within)
    everything = replace(within, filter_gpus=("all",))
    check_bounds(profiles_of(everything), everything)
    less = replace(within, **change)
    with pytest.raises(SettingsError) as refused:
        check_bounds(profiles_of(less), less)
    assert str(refused.value).startswith(f"CELLAR_PROFILES ({settings.profiles}): {problem}: ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"memory": 65 * 1024**3}, "CELLAR_WORKSPACE_MEMORY asks for 65 GiB"),
        ({"cpus": 64.5}, "CELLAR_WORKSPACE_CPUS asks for 64.5 processor cores"),
        ({"pids": 9000}, "CELLAR_WORKSPACE_PIDS asks for 9000 processes"),
        ({"runtime": "kata"}, "CELLAR_WORKSPACE_RUNTIME is 'kata', which CELLAR_FILTER_RUNTIMES does not let through"),
    ],
)
def test_without_a_file_the_setting_is_named(change: dict[str, Any], problem: str) -> None:
    more = replace(SETTINGS, **change)
    with pytest.raises(SettingsError) as refused:
        check_bounds(profiles_of(more), more)
    assert str(refused.value).startswith(problem)


def test_the_hub_takes_the_filters_bounds_for_what_the_filter_takes_them_for() -> None:
    env = {"CELLAR_FILTER_MAX_MEMORY_GB": "7", "CELLAR_FILTER_GPUS": "0, 1", "CELLAR_FILTER_RUNTIMES": "runsc"}
    for bounds in ({}, env):
        theirs = policy_from_env({"CELLAR_WORKSPACE_IMAGES": "x", **bounds})
        ours = HubSettings.from_env(NEEDED | bounds)
        assert (ours.filter_memory * 1024**3, ours.filter_cpus) == (theirs.max_memory, theirs.max_cpus)
        assert (ours.filter_pids, set(ours.filter_gpus)) == (theirs.max_pids, theirs.gpus)
        assert set(ours.filter_runtimes) == theirs.runtimes


def test_a_profile_is_offered_to_its_groups(settings: HubSettings) -> None:
    profiles = profiles_of(settings)
    assert [each.name for each in offered(profiles, [])] == ["standard"]
    assert [each.name for each in offered(profiles, ["ml", "x"])] == ["standard", "large"]


def test_the_policy_opens_profiles_to_more_and_says_what_one_person_may_choose(settings: HubSettings) -> None:
    profiles = profiles_of(settings)
    tables = {"groups.guests": '["large", "unknown"]', "users.ann": '["large"]', "users.kim": "[]"}
    text = "".join(f"[{table}]\nprofiles = {names}\n" for table, names in tables.items())
    policy = parse_policy(text, "p")

    def names(user: str, *groups: str) -> list[str]:
        return [each.name for each in offered(profiles, groups, policy.for_(user, groups))]

    assert names("x") == ["standard"]
    assert names("x", "guests") == ["standard", "large"]
    assert names("ann") == ["large"] and names("kim", "ml") == []
    assert offered(profiles, ["ml"], Allowed()) == offered(profiles, ["ml"])


def test_a_profile_for_no_group_is_for_whom_the_policy_names(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(FILE.replace('groups = ["research", "ml"]', "groups = []"))
    profiles = profiles_of(replace(SETTINGS, profiles=file))
    assert [each.name for each in offered(profiles, ["research"])] == ["standard"]
    given = Allowed(profiles=frozenset({"large"}))
    assert [each.name for each in offered(profiles, [], given)] == ["standard", "large"]


def test_profiles_are_read_again_when_they_change_and_a_broken_file_changes_nothing(
    settings: HubSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchedfile, "LOOK_EVERY", 0.0)
    file = settings.profiles
    assert file is not None
    within = replace(settings, filter_gpus=("all",))
    current = watched_profiles(within)
    assert [each.cpus for each in current()] == [2, 0.5]
    file.write_text(FILE.replace("cpus = 2", "cpus = 3"))
    assert [each.cpus for each in current()] == [3, 0.5]
    for broken, said in (
        ("[a", "cannot be read"),
        (FILE.replace("cpus = 2", "cpus = 999"), "MAX_CPUS"),
        ("", "no profile"),
    ):
        file.write_text(broken)
        assert [each.cpus for each in current()] == [3, 0.5]
        assert "the list of profiles stays as it was" in caplog.text and said in caplog.text
    file.unlink()
    assert [each.cpus for each in current()] == [3, 0.5]
    with pytest.raises(SettingsError):
        watched_profiles(within)


def test_only_an_offered_profile_can_be_chosen_and_nothing_else_of_the_options_counts(settings: HubSettings) -> None:
    choices = offered(profiles_of(settings), [])
    assert choose(choices, {}).name == "standard"
    assert choose(choices, {"image": "evil", "mem_limit": "1T", "profile": "standard"}).image == "data"
    for wanted in ("large", "x" * 10_000, 7, ["standard"], {"a": 1}, ""):
        with pytest.raises(NotOffered) as refused:
            choose(choices, {"profile": wanted})
        assert len(str(refused.value)) < 120


def test_without_any_profile_for_their_groups_a_user_is_told_so() -> None:
    with pytest.raises(NotOffered, match="ask your administrator"):
        choose([], {})


def test_a_gpu_belongs_to_one_workspace(settings: HubSettings) -> None:
    large = profiles_of(settings)[1]
    assert share_gpus(large, []) == ("0", "1")
    assert share_gpus(large, ["1"]) == ("0", "2")
    with pytest.raises(NotOffered, match="in use"):
        share_gpus(large, ["0", "1"])


def test_the_form_shows_what_is_offered_escaped_and_is_left_out_when_there_is_no_choice(settings: HubSettings) -> None:
    choices = offered(profiles_of(settings), ["ml"])
    form = options_form(choices)
    assert 'value="large"' in form and "Large &lt;b&gt;" in form and "0.5 CPU, 32 GB, 2 GPU" in form
    assert options_form(choices[:1]) == ""
    assert options_from_form({"profile": ["large"], "image": ["evil"]}) == {"profile": "large"}
    assert options_from_form({}) == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "CELLAR_PROFILES"),
        ("[a]\ncpus = 1", "a.memory"),
        ('[a]\nmemory = "1G"', "a.cpus"),
        ('[a]\ncpus = 1\nmemory = "64M"', "a.memory"),
        ('[a]\ncpus = 1\nmemory = "a lot"', "a.memory"),
        ('[a]\ncpus = true\nmemory = "1G"', "a.cpus"),
        ('[a]\ncpus = -1\nmemory = "1G"', "a.cpus"),
        ('[a]\ncpus = nan\nmemory = "1G"', "a.cpus"),
        ('[a]\ncpus = 1\nmemory = "1G"\nprivileged = "yes"', "a.privileged"),
        ('[a]\ncpus = 1\nmemory = "1G"\nimage = "other"', "a.image"),
        ('[a]\ncpus = 1\nmemory = "1G"\npids = 1', "a.pids"),
        ('[a]\ncpus = 1\nmemory = "1G"\ngroups = [1]', "a.groups"),
        ('[a]\ncpus = 1\nmemory = "1G"\ngpus = ["0"]\ngpus_each = 2', "a.gpus_each"),
        ('["A b"]\ncpus = 1\nmemory = "1G"', "A b"),
        ("[a", "CELLAR_PROFILES"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_key(tmp_path: Path, text: str, names: str) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        profiles_of(replace(SETTINGS, profiles=file))
    assert names in refused.value.name
