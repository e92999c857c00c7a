"""The policy file changed by small steps: what was meant, and nothing else of the text."""

from __future__ import annotations

import random
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from cellar.settings import SettingsError
from cellar_hub.policy import parse_policy
from cellar_hub.policyedit import (
    AddTable,
    Change,
    PutAnnouncement,
    PutDestination,
    RemoveAnnouncement,
    RemoveDestination,
    RemoveField,
    RemoveTable,
    SetField,
    change,
)

FILE = """\
# Of our site. Ask Mina before you change this.

[default]
models = ["small"]          # everybody
# tokens_per_month = 5_000_000
tokens_per_day = 200_000
features = { export = { enabled = false, reason = "Stays here" }, images = { enabled = false } }

# --- Groups

# Agreed with the lab in March.
[groups.research]
models = [
    "large",      # the new one
    "larger",
]
destinations = ["warehouse.corp:5432", "wiki.corp:443"]
# they may ask for more

[[destinations]]
name = "warehouse.corp"
port = 5432

# The wiki is read only.
[[destinations]]
name = "wiki.corp"
port = 443
to = "10.0.0.7:8443"

[groups.pilots]
max_tokens = 512

[[announcements]]
id = "move"
level = "info"
text = \"\"\"Two lines,
[default] is no table here\"\"\"

# end of the file
"""


def lines_changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """(lines that went, lines that came)."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_field_is_set_where_it_stands_and_keeps_its_comment() -> None:
    after = change(FILE, SetField(table="default", field="models", value=["small", "tiny"]))
    assert lines_changed(FILE, after) == (
        ['models = ["small"]          # everybody'],
        ['models = ["small", "tiny"]          # everybody'],
    )
    after = change(FILE, SetField(table="default", field="tokens_per_day", value=300_000))
    assert lines_changed(FILE, after) == (["tokens_per_day = 200_000"], ["tokens_per_day = 300000"])


def test_a_list_of_several_lines_keeps_the_comments_of_what_stays() -> None:
    after = change(FILE, SetField(table="groups.research", field="models", value=["large"]))
    assert '    "large",      # the new one\n' in after and "larger" not in after
    assert tomllib.loads(after)["groups"]["research"]["models"] == ["large"]


def test_a_new_field_stands_with_its_table_and_not_below_the_next_ones_comment() -> None:
    after = change(FILE, SetField(table="default", field="requests_per_minute", value=30))
    assert lines_changed(FILE, after) == ([], ["requests_per_minute = 30"])
    assert after.index("requests_per_minute") < after.index("# --- Groups")


def test_a_new_table_stands_after_its_kind_or_at_the_end() -> None:
    after = change(FILE, SetField(table="groups.new", field="tools", value=True))
    assert lines_changed(FILE, after) == ([], ["[groups.new]", "tools = true"])
    assert after.index("[groups.pilots]") < after.index("[groups.new]") < after.index("[[announcements]]")
    after = change(FILE, SetField(table="users.ann@corp.example", field="max_tokens", value=5))
    assert after == FILE + '\n[users."ann@corp.example"]\nmax_tokens = 5\n'


def test_what_is_put_and_removed_again_leaves_the_text_as_it_was() -> None:
    for put, remove in (
        (SetField(table="default", field="tools", value=False), RemoveField(table="default", field="tools")),
        (AddTable(table="users.ann"), RemoveTable(table="users.ann")),
        (PutAnnouncement(id="x", level="error", text="y"), RemoveAnnouncement(id="x")),
        (PutDestination(name="a.corp", port=1), RemoveDestination(key="a.corp:1")),
        (
            SetField(table="groups.pilots", field="features.export", value={"enabled": False, "reason": "no"}),
            RemoveField(table="groups.pilots", field="features.export"),
        ),
    ):
        assert change(FILE, put) != FILE
        assert change(FILE, put, remove) == FILE


def test_what_is_so_already_changes_nothing() -> None:
    for each in (
        SetField(table="default", field="tokens_per_day", value=200_000),
        AddTable(table="groups.pilots"),
        RemoveTable(table="users.nobody"),
        RemoveField(table="default", field="tools"),
        RemoveField(table="groups.nobody", field="features.export"),
        RemoveAnnouncement(id="nothing"),
        RemoveDestination(key="nowhere:1"),
        PutDestination(name="wiki.corp", port=443, to="10.0.0.7:8443"),
    ):
        assert change(FILE, each) == FILE


def test_a_table_goes_with_its_own_comment_and_leaves_what_is_nobodys() -> None:
    after = change(FILE, RemoveTable(table="groups.research"))
    gone, come = lines_changed(FILE, after)
    assert come == [] and "# Agreed with the lab in March." in gone and "# they may ask for more" in gone
    assert "# --- Groups" in after and "# The wiki is read only." in after
    after = change(FILE, RemoveAnnouncement(id="move"), RemoveTable(table="groups.pilots"))
    assert after.endswith("# end of the file\n") and "Two lines" not in after


def test_a_feature_is_set_and_removed_by_itself() -> None:
    after = change(FILE, RemoveField(table="default", field="features.export"))
    assert tomllib.loads(after)["default"]["features"] == {"images": {"enabled": False}}
    after = change(after, RemoveField(table="default", field="features.images"))
    assert "features" not in tomllib.loads(after)["default"]
    off = {"enabled": False, "reason": 'Ask "Mina"\\ first'}
    after = change(after, SetField(table="groups.pilots", field="features.search", value=off))
    assert tomllib.loads(after)["groups"]["pilots"]["features"] == {"search": off}
    assert parse_policy(after, "p")


def test_a_destination_that_goes_is_named_by_no_table_any_more() -> None:
    after = change(FILE, RemoveDestination(key="wiki.corp:443"))
    assert tomllib.loads(after)["groups"]["research"]["destinations"] == ["warehouse.corp:5432"]
    assert "read only" not in after
    assert [each.key for each in parse_policy(after, "p").destinations] == ["warehouse.corp:5432"]


def test_an_announcement_is_changed_in_its_place_with_its_schedule() -> None:
    seoul = timezone(timedelta(hours=9))
    put = PutAnnouncement(
        id="move",
        level="warning",
        text="Soon <b>",
        audience="all",
        dismissible=False,
        starts=datetime(2026, 12, 1, 9, tzinfo=seoul),
        ends=datetime(2026, 12, 4, 18, tzinfo=seoul),
    )
    after = change(FILE, put)
    [told] = parse_policy(after, "p").announcements
    assert (told.id, told.level, told.text, told.audience, told.dismissible) == (
        *("move", "warning", "Soon <b>", "all"),
        False,
    )
    assert told.starts == put.starts and told.ends == put.ends and "starts = 2026-12-01T09:00:00+09:00" in after
    back = change(after, PutAnnouncement(id="move", level="warning", text="Soon <b>"))
    assert "starts" not in back and back.endswith("# end of the file\n")


def test_a_text_of_several_lines_comes_from_a_browser() -> None:
    after = change(FILE, PutAnnouncement(id="lines", level="info", text="one\r\ntwo"))
    assert parse_policy(after, "p").announcements[-1].text == "one\ntwo"


OTHER_WAYS = {
    "inline": 'default = { models = ["a"], tokens_per_day = 1 }\ngroups = { r = { tools = true } }\n',
    "dotted": 'default.models = ["a"]\ndefault.tokens_per_day = 1\ngroups.r.tools = true\n',
    "dotted in a table": '[default]\nmodels = ["a"]\ntokens_per_day = 1\n[groups]\nr.tools = true\n',
    "features apart": (
        '[default.features.export]\nenabled = false\n[default]\nmodels = ["a"]\ntokens_per_day = 1\n'
        "[groups.r.features]\nsearch = { enabled = false }\n[groups.r]\ntools = true\n"
    ),
    "rows inline": (
        'announcements = [{ id = "move", level = "info", text = "x" }]\n'
        'destinations = [ {name="wiki.corp", port=443} ]\n'
        '[default]\nmodels = ["a"]\ntokens_per_day = 1\ndestinations = ["wiki.corp:443"]\n[groups.r]\ntools = true\n'
    ),
    "quoted": '["default"]\n"models" = ["a"]\ntokens_per_day = 1\n[ groups . "r" ] # r\ntools = true',
    "no end": '[groups.r]\ntools = true\n[default]\nmodels = ["a"]\ntokens_per_day = 1',
    "nothing": "",
    "comments alone": "# nothing yet",
    "site": FILE,
}


@pytest.mark.parametrize("text", OTHER_WAYS.values(), ids=OTHER_WAYS.keys())
def test_every_way_to_write_it_can_be_changed(text: str) -> None:
    after = change(
        text,
        SetField(table="default", field="models", value=["a", "b"]),
        SetField(table="default", field="features.export", value={"enabled": False, "reason": "no"}),
        SetField(table="groups.r", field="tools", value=False),
        SetField(table="users.kim", field="tokens_per_day", value=7),
        PutDestination(name="new.corp", port=22),
        SetField(table="groups.r", field="destinations", value=["new.corp:22"]),
        PutAnnouncement(id="new", level="info", text="새 소식"),
        PutAnnouncement(id="move", level="error", text="y"),
        SetField(table="default", field="features.search", value={"enabled": False}),
        RemoveField(table="default", field="features.search"),
        RemoveField(table="default", field="tokens_per_day"),
    )
    policy = parse_policy(after, "p")
    kim, member = policy.for_("kim", []), policy.for_("x", ["r"])
    assert kim.models == {"a", "b"} and kim.quota.per_day == 7 and member.quota.per_day is None
    assert not member.tools and {each.id for each in policy.announcements} == {"new", "move"}
    assert "new.corp:22" in {each.key for each in member.destinations}
    assert policy.for_("x", []).features["export"].reason == "no"
    bare = change(
        after,
        RemoveTable(table="default"),
        RemoveTable(table="groups.r"),
        RemoveTable(table="users.kim"),
        RemoveAnnouncement(id="new"),
        RemoveDestination(key="new.corp:22"),
    )
    left = tomllib.loads(bare)
    assert "default" not in left and not left.get("users") and "r" not in left.get("groups", {})


@pytest.mark.parametrize("text", OTHER_WAYS.values(), ids=OTHER_WAYS.keys())
def test_the_last_field_of_a_table_can_go(text: str) -> None:
    after = change(text, RemoveField(table="groups.r", field="tools"), RemoveField(table="groups.r", field="features"))
    assert not tomllib.loads(after).get("groups", {}).get("r")


def test_any_order_of_changes_gives_what_they_mean() -> None:
    dice = random.Random(5)
    tables = ["default", "groups.research", "groups.a b", "users.ann", "users.kim@x.y", "users.'q'"]
    fields: dict[str, Any] = {
        "models": [["x"], [], ["x", "y"]],
        "tokens_per_day": [0, 5],
        "tools": [True, False],
        "cache_salt": ["user", "none"],
        "features.export": [{"enabled": False}, {"enabled": True, "reason": "because"}],
        "features.images": [{"enabled": False}],
    }

    def any_change() -> Change:
        table, field = dice.choice(tables), dice.choice(list(fields))
        n = dice.randrange(4)
        return dice.choice(
            [
                SetField(table=table, field=field, value=dice.choice(fields[field])),
                SetField(table=table, field=field, value=dice.choice(fields[field])),
                RemoveField(table=table, field=field),
                RemoveTable(table=table),
                AddTable(table=table),
                PutAnnouncement(id=f"n{n}", level="info", text=dice.choice(["# no\n[x]", 'a"""b', "plain"])),
                RemoveAnnouncement(id=f"n{n}"),
                PutDestination(name=f"d{n}.corp", port=80, to=dice.choice(["", "10.0.0.1:80"])),
                RemoveDestination(key=f"d{n}.corp:80"),
            ]
        )

    for text in OTHER_WAYS.values():
        for _ in range(60):
            text = change(text, any_change())  # raises when the text does not mean what was meant
        parse_policy(text, "p")


def test_the_ends_of_lines_stay_as_they_were() -> None:
    after = change(FILE.replace("\n", "\r\n"), SetField(table="users.ann", field="tools", value=True))
    assert after.count("\n") == after.count("\r\n") == (FILE.count("\n") + 3)


def test_thousands_of_people_by_name_are_changed_in_a_moment() -> None:
    text = "[default]\n" + "".join(f"\n[users.u{n}]\ntokens_per_day = {n}\n" for n in range(5000))
    after = change(text, SetField(table="users.u4999", field="tokens_per_day", value=1))
    assert lines_changed(text, after) == (["tokens_per_day = 4999"], [])


@pytest.mark.parametrize("table", ["", "groups", "groups.", "users.", "everybody", "default.x", "destinations.a"])
def test_a_table_that_is_none_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match="has no table"):
        change(FILE, SetField(table=table, field="tools", value=True))


@pytest.mark.parametrize("text", ["[default", "a = 1\na = 2", "default = 3", "[[groups]]\nx = 1"])
def test_a_text_that_cannot_be_changed_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        change(text, SetField(table="groups.x", field="tools", value=True), RemoveField(table="default", field="tools"))
        parse_policy(text, "p")


def test_a_change_is_kept_as_json_and_read_again() -> None:
    for each in (
        SetField(table="default", field="models", value=["a"]),
        RemoveTable(table="users.x"),
        PutAnnouncement(id="a", level="info", text="t", starts=datetime(2026, 1, 1, tzinfo=UTC)),
    ):
        assert msgspec.json.decode(msgspec.json.encode(each), type=Change) == each
