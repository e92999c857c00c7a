"""The policy file: what it says, and what it is refused for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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


ONE_USER = (
    TWO_GROUPS
    + """
[users.ann]
models = ["tiny"]
modes = ["edit"]
tools = false
max_tokens = 16
tokens_per_day = 7
requests_per_minute = 1
max_waiting = 0
max_running = 1
cache_salt = "user"
profiles = ["small"]
features = { export = { enabled = true }, search = { enabled = false, reason = "Ask me" } }

[users.kim]
tokens_per_day = 0
destinations = []

[users.nobody]
"""
)


def test_what_is_said_for_one_person_counts_alone_and_may_lower() -> None:
    policy = parse_policy(ONE_USER, "p")
    ann = policy.for_("ann", ["research"])
    assert (ann.models, ann.modes, ann.tools, ann.max_tokens) == ({"tiny"}, {"edit"}, False, 16)
    assert (ann.quota, ann.requests_per_minute) == (Quota(7, None), 1)
    assert (ann.max_waiting, ann.max_running, ann.cache_salt, ann.only_profiles) == (0, 1, "user", {"small"})
    assert ann.features == {
        "images": Feature(enabled=False),
        "search": Feature(enabled=False, reason="Ask me"),
    }
    assert policy.users == ("ann", "kim", "nobody")


def test_what_is_not_said_for_one_person_is_as_for_everybody() -> None:
    policy = parse_policy(ONE_USER, "p")
    kim = policy.for_("kim", ["research"])
    assert kim.quota.per_day is None, "0: no limit"
    others = policy.for_("x", ["research"])
    assert (kim.models, kim.modes, kim.tools, kim.features) == (
        *(others.models, others.modes, others.tools),
        others.features,
    )
    assert (kim.cache_salt, kim.salt_group, kim.only_profiles) == ("group", "research", None)
    assert policy.for_("nobody", ["pilots"]) == policy.for_("x", ["pilots"])
    assert policy.for_("ANN", []) == policy.for_("x", []), "as the hub writes the name"


def test_one_person_may_have_fewer_destinations_or_others_than_their_groups() -> None:
    text = """
[default]
destinations = ["a.corp:1"]
[groups.g]
destinations = ["b.corp:1"]
[users.ann]
destinations = ["c.corp:1"]
[users.kim]
destinations = []
""" + "".join(f'[[destinations]]\nname = "{name}.corp"\nport = 1\n' for name in "abc")
    policy = parse_policy(text, "p")
    assert [each.name for each in policy.for_("x", ["g"]).destinations] == ["a.corp", "b.corp"]
    assert [each.name for each in policy.for_("ann", ["g"]).destinations] == ["c.corp"]
    assert policy.for_("kim", ["g"]).destinations == ()


def test_profiles_add_up_over_groups() -> None:
    text = '[default]\nprofiles = ["a"]\n[groups.g]\nprofiles = ["b"]\n[users.ann]\nprofiles = []'
    policy = parse_policy(text, "p")
    assert policy.for_("x", ["g"]).profiles == {"a", "b"} and policy.for_("x", []).only_profiles is None
    assert policy.for_("ann", ["g"]).only_profiles == frozenset()
    assert policy.profiles == {"a", "b"}


SCHEDULE = """
[[announcements]]
id = "always"
level = "info"
text = "Always\\nsaid"

[[announcements]]
id = "public"
level = "warning"
text = "To all"
audience = "all"
dismissible = false
starts = 2026-12-01T09:00:00+09:00
ends = 2026-12-01T18:00:00+09:00
"""


def test_an_announcement_counts_from_its_start_until_its_end() -> None:
    policy = parse_policy(SCHEDULE, "p")
    starts = datetime(2026, 12, 1, 0, tzinfo=UTC)
    ends = datetime(2026, 12, 1, 9, tzinfo=UTC)
    for now, ids in (
        (starts - timedelta(seconds=1), ["always"]),
        (starts, ["always", "public"]),
        (ends - timedelta(seconds=1), ["always", "public"]),
        (ends, ["always"]),
    ):
        assert [each.id for each in policy.announced(now)] == ids
    told = policy.announced(starts)[1].told()
    assert (told.id, told.dismissible, told.ends) == ("public", False, ends.timestamp())


def test_who_has_not_logged_in_is_told_what_is_for_all() -> None:
    policy = parse_policy(SCHEDULE, "p")
    assert [each.id for each in policy.announced(datetime(2026, 12, 1, 3, tzinfo=UTC), "all")] == ["public"]


def announcement(**fields: str) -> str:
    said = {"id": '"a"', "level": '"info"', "text": '"x"'} | fields
    return "[[announcements]]\n" + "".join(f"{key} = {value}\n" for key, value in said.items())


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
        ("[users.Ann]\ntools = true", "[users.Ann]; the hub writes names in lower case: ann"),
        ("[users.ann]\nmax_tokens = 0", "[users.ann] max_tokens = 0"),
        ("[users.ann]\ndestinations = ['x:1']", "[users.ann] the destination 'x:1'"),
        ("[users.'']\ntools = true", "[users.], whose name is empty"),
        (f"[groups.{'g' * 256}]\ntools = true", "too long"),
        ('[groups."a\\nb"]\ntools = true', "no plain text"),
        ("[default]\nmodes = []", "[default] modes = []"),
        ("[default]\nmodels = ['']", "[default] models = ''"),
        (f"[default]\nprofiles = ['{'p' * 256}']", "too long"),
        (f"[default.features.export]\nenabled = false\nreason = '{'r' * 201}'", "more than 200 characters"),
        ('[default.features.export]\nenabled = false\nreason = "a\\u202eb"', "no line of plain text"),
        (announcement(id='""'), "its id is empty"),
        (announcement(id=f'"{"i" * 65}"'), "longer than 64"),
        (announcement() + announcement(), "'a' twice"),
        (announcement(text='" "'), "from 1 to 1000 characters"),
        (announcement(text=f'"{"t" * 1001}"'), "from 1 to 1000 characters"),
        (announcement(text='"a\\u0000b"'), "not plain text"),
        (announcement(level='"panic"'), "level"),
        (announcement(audience='"admins"'), "audience"),
        (announcement(starts="2026-12-01T09:00:00"), "timezone"),
        (announcement(starts="2026-12-01"), "starts"),
        (announcement(starts="2026-12-02T00:00:00Z", ends="2026-12-02T08:00:00+09:00"), "ends before it starts"),
        ("".join(announcement(id=f'"{n}"') for n in range(101)), "more than 100 announcements"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_policy(text, "/etc/cellar/policy.toml")
    assert str(refused.value).startswith("/etc/cellar/policy.toml ")
    assert said in str(refused.value)
