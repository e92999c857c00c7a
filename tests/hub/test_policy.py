"""The policy file: what it says, and what it is refused for."""

from __future__ import annotations

import pytest
from cellar.settings import SettingsError
from cellar.wire import Feature
from cellar_hub.policy import MODES, NO_POLICY, Allowed, parse_policy
from cellar_hub.usage.quota import Quota

TWO_GROUPS = """
[default]
models = ["small"]
modes = ["ask"]
tools = false
max_tokens = 512
tokens_per_day = 1000
requests_per_minute = 10
features = { export = { enabled = false, reason = "stays here" }, images = { enabled = false } }

[groups.research]
models = ["large"]
modes = ["ask", "agent"]
tools = true
tokens_per_day = 5000
cache_salt = "group"
features = { images = { enabled = false } }

[groups.pilots]
tokens_per_day = 0
max_tokens = 256

[[announcements]]
id = "move"
level = "info"
text = "The large model moves on Friday."
"""


def test_without_a_file_everything_is_allowed_within_the_bounds_of_one_user() -> None:
    assert NO_POLICY.for_("alice", ["research"]) == Allowed()
    assert Allowed().models is None and Allowed().modes == MODES


def test_everybody_gets_the_default() -> None:
    allowed = parse_policy(TWO_GROUPS, "policy.toml").for_("alice", [])
    assert allowed.models == {"small"} and allowed.model("small") and not allowed.model("large")
    assert allowed.modes == {"ask"} and not allowed.tools
    assert (allowed.max_tokens, allowed.quota, allowed.requests_per_minute) == (512, Quota(1000, None), 10)


def test_a_group_adds_and_never_takes_away() -> None:
    policy = parse_policy(TWO_GROUPS, "policy.toml")
    research = policy.for_("bob", ["research", "unknown"])
    assert research.models == {"small", "large"}
    assert research.modes == {"ask", "agent"} and research.tools
    assert research.quota.per_day == 5000
    assert policy.for_("bob", ["pilots"]).max_tokens == 512


def test_zero_lifts_a_limit() -> None:
    policy = parse_policy(TWO_GROUPS, "policy.toml")
    assert policy.for_("bob", ["pilots", "research"]).quota.per_day is None


def test_the_order_of_groups_means_nothing() -> None:
    policy = parse_policy(TWO_GROUPS, "policy.toml")
    assert policy.for_("a", ["pilots", "research"]) == policy.for_("b", ["research", "pilots"])


def test_the_strictest_word_about_the_prefix_cache_counts() -> None:
    policy = parse_policy(TWO_GROUPS, "policy.toml")
    assert policy.for_("a", []).cache_salt == "user"
    shared = policy.for_("a", ["research"])
    assert (shared.cache_salt, shared.salt_group) == ("group", "research")
    strict = parse_policy('[default]\ncache_salt="user"\n[groups.g]\ncache_salt="none"', "p")
    assert strict.for_("a", ["g"]).cache_salt == "user"


def test_a_feature_is_off_when_every_table_that_applies_says_so() -> None:
    policy = parse_policy(TWO_GROUPS, "policy.toml")
    assert policy.for_("a", []).features["export"] == Feature(enabled=False, reason="stays here")
    assert set(policy.for_("a", ["research"]).features) == {"images"}


def test_announcements_are_for_everybody() -> None:
    assert [each.id for each in parse_policy(TWO_GROUPS, "policy.toml").announcements] == ["move"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[default", "is not TOML"),
        ("[default]\nmodel = ['x']", "unknown field `model`"),
        ("[default]\nmodels = 'x'", "default.models"),
        ("[default]\nmodes = ['chat']", "default.modes"),
        ("[groups.a]\ntokens_per_day = -1", "[groups.a] tokens_per_day = -1"),
        ("[default]\nmax_tokens = 0", "[default] max_tokens = 0"),
        ("[default]\ncache_salt = 'all'", "cache_salt"),
        ("[default.features.chat]\nenabled = false", "features"),
        ("[everybody]\nmodels = ['x']", "unknown field `everybody`"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_policy(text, "/etc/cellar/policy.toml")
    assert str(refused.value).startswith("/etc/cellar/policy.toml ")
    assert said in str(refused.value)
