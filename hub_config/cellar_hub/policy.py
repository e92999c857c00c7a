"""What a user of these groups may: the policy file (TOML), parsed strictly, and what counts for one user. Pure.

    [default]                          # everybody
    models = ["coder-small"]           # absent: all; so are limits that are absent
    modes = ["ask", "edit"]            # what the panel may claim; absent: ask, edit and agent
    tools = false                      # requests that offer tools to the model
    max_tokens = 2048                  # of one answer: larger wishes are capped, a missing one is set
    tokens_per_day = 200_000           # prompt and answer together, in the site's time zone; 0: no limit
    tokens_per_month = 4_000_000
    requests_per_minute = 30
    max_waiting = 8                    # places in the queue for one user
    max_running = 4                    # requests of one user at the model servers at once
    cache_salt = "user"                # who shares vLLM's prefix cache: "user" with nobody, "group", or "none": all
    features = { export = { enabled = false, reason = "Answers stay in the building" } }

    [groups.research]                  # more for its members
    models = ["coder-large"]
    tokens_per_day = 1_000_000
    destinations = ["warehouse.corp:5432"]   # what its members' workspaces may reach in the building; absent: nothing
    profiles = ["large"]               # of workspaces: more than the profile file lets them choose

    [users.ann]                        # for one person, as the hub writes the name: counts alone, field by field
    tokens_per_day = 50_000

    [[destinations]]                   # see `cellar_hub.destinations`
    name = "warehouse.corp"
    port = 5432

    [[announcements]]
    id = "move"
    level = "info"
    text = "The large model moves on Friday."   # 1,000 characters at most
    starts = 2026-12-01T09:00:00+09:00 # absent: now; with a zone
    ends = 2026-12-04T18:00:00+09:00   # absent: never
    dismissible = true                 # false: stays on the screen until it ends
    audience = "users"                 # "all": also on the page where one logs in

Design note. A group only ever *adds*: of everything that is said for a user, `[default]` included, the most generous
word counts, and what is not said anywhere is not limited. So nobody loses something by becoming a member, and the order
of groups means nothing. Two fields cannot be added up: of `cache_salt` the strictest word counts, because sharing a
prefix cache lets others find out by timing what was asked; a feature of the panel is off when every table that applies
says so. What is said for somebody by name is meant as it stands, so that one can lower a limit, too: of each field, and
of each feature, their own table's word counts alone.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from cellar.settings import SettingsError
from cellar.wire import Announcement, Feature, FeatureName

from cellar_hub.destinations import Destination, Row, chosen, parse_destinations
from cellar_hub.usage.quota import Quota

MODES = frozenset({"ask", "edit", "agent"})
DEFAULT_MAX_TOKENS = 4096
DEFAULT_MAX_WAITING = 16
DEFAULT_MAX_RUNNING = 8

LONGEST_NAME = 255  # of users and groups, as JupyterHub has it; also of models and profiles
LONGEST_ID = 64
LONGEST_TEXT = 1000
LONGEST_REASON = 200
MOST_ANNOUNCEMENTS = 100

Salt = Literal["user", "group", "none"]
_STRICTEST_FIRST: tuple[Salt, ...] = ("user", "group", "none")

T = TypeVar("T")


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What one user may. Limits that are None do not limit."""

    models: frozenset[str] | None = None  # None: all
    modes: frozenset[str] = MODES
    tools: bool = True
    max_tokens: int = DEFAULT_MAX_TOKENS
    quota: Quota = Quota()
    requests_per_minute: int | None = None
    max_waiting: int = DEFAULT_MAX_WAITING
    max_running: int = DEFAULT_MAX_RUNNING
    cache_salt: Salt = "user"
    salt_group: str = ""  # with "group": whose members share
    features: dict[FeatureName, Feature] = {}
    destinations: tuple[Destination, ...] = ()
    profiles: frozenset[str] = frozenset()  # beside those that the profile file opens to their groups
    only_profiles: frozenset[str] | None = None  # said for this user by name: these, whatever the file says

    def model(self, name: str) -> bool:
        return self.models is None or name in self.models


class _Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file; None: not said."""

    models: tuple[str, ...] | None = None
    modes: tuple[Literal["ask", "edit", "agent"], ...] | None = None
    tools: bool | None = None
    max_tokens: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    requests_per_minute: int | None = None
    max_waiting: int | None = None
    max_running: int | None = None
    cache_salt: Salt | None = None
    features: dict[FeatureName, Feature] = {}
    destinations: tuple[str, ...] | None = None
    profiles: tuple[str, ...] | None = None


Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


class Announced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an administrator has to say, and when it is said."""

    id: str
    level: Literal["info", "warning", "error"]
    text: str
    starts: Moment | None = None
    ends: Moment | None = None
    dismissible: bool = True
    audience: Literal["all", "users"] = "users"

    def counts(self, now: datetime.datetime) -> bool:
        return (self.starts is None or self.starts <= now) and (self.ends is None or now < self.ends)

    def told(self) -> Announcement:
        ends = None if self.ends is None else self.ends.timestamp()
        return Announcement(id=self.id, level=self.level, text=self.text, ends=ends, dismissible=self.dismissible)


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    default: _Rules = _Rules()
    groups: dict[str, _Rules] = {}
    users: dict[str, _Rules] = {}
    announcements: tuple[Announced, ...] = ()
    destinations: tuple[Row, ...] = ()


_AT_LEAST = {
    "max_tokens": 1,
    "tokens_per_day": 0,
    "tokens_per_month": 0,
    "requests_per_minute": 0,
    "max_waiting": 0,
    "max_running": 1,
}
_MOST = 10**15


class Policy:
    """The file, ready to be asked. `announcements` are all of them; `destinations` are all that anybody may have."""

    def __init__(
        self,
        default: _Rules,
        groups: dict[str, _Rules],
        users: dict[str, _Rules],
        announcements: tuple[Announced, ...],
        destinations: tuple[Destination, ...] = (),
    ) -> None:
        self._default = default
        self._groups = groups
        self._users = users
        self.announcements = announcements
        self.destinations = destinations
        self._known: dict[tuple[str, ...], Allowed] = {}

    @property
    def groups(self) -> tuple[str, ...]:
        """Those that the file speaks of."""
        return tuple(self._groups)

    @property
    def users(self) -> tuple[str, ...]:
        """Those that the file speaks of by name."""
        return tuple(self._users)

    @property
    def profiles(self) -> frozenset[str]:
        """All that anybody is given, whether the profile file has them or not."""
        tables = (self._default, *self._groups.values(), *self._users.values())
        return frozenset(name for table in tables for name in table.profiles or ())

    def naming(self, destination: str) -> tuple[str, ...]:
        """The tables that give this destination (NAME:PORT): `default`, `groups.NAME`, `users.NAME`."""
        tables = {"default": self._default}
        tables |= {f"groups.{name}": table for name, table in self._groups.items()}
        tables |= {f"users.{name}": table for name, table in self._users.items()}
        return tuple(name for name, table in tables.items() if destination in (table.destinations or ()))

    def announced(self, now: datetime.datetime, audience: Literal["all", "users"] = "users") -> tuple[Announced, ...]:
        """Those that count now; with "all", those that somebody may see who has not logged in."""
        return tuple(each for each in self.announcements if each.counts(now) and audience in ("users", each.audience))

    def for_(self, user: str, groups: Sequence[str]) -> Allowed:
        """The union over `[default]` and the user's groups, and the user's own table over that."""
        named = tuple(sorted(set(groups) & self._groups.keys()))
        own = self._users.get(user)
        if own is not None:
            return self._of_one(own, named)  # cheap, and not for ever: there may be thousands
        found = self._known.get(named)
        if found is None:
            found = self._known[named] = self._union(named)
        return found

    def _of_one(self, own: _Rules, named: tuple[str, ...]) -> Allowed:
        """Field by field: what the user's own table says, else what everybody in these groups has."""
        common = self._union(named)
        said = _union([own], self.destinations)
        names = [name for name in _LIMITS if getattr(own, name) is not None]
        quota = Quota(
            per_day=common.quota.per_day if own.tokens_per_day is None else said.quota.per_day,
            per_month=common.quota.per_month if own.tokens_per_month is None else said.quota.per_month,
        )
        off = {name: each for name, each in common.features.items() if name not in own.features} | said.features
        return msgspec.structs.replace(
            common,
            quota=quota,
            features=off,
            only_profiles=None if own.profiles is None else said.profiles,
            **{name: getattr(said, name) for name in names},
        )

    def _union(self, named: tuple[str, ...]) -> Allowed:
        tables = [self._default, *(self._groups[name] for name in named)]
        return msgspec.structs.replace(_union(tables, self.destinations), salt_group=named[0] if named else "")


_LIMITS = (
    *("models", "modes", "tools", "max_tokens", "requests_per_minute", "max_waiting", "max_running", "cache_salt"),
    "destinations",
)
"""Fields of `_Rules` that `Allowed` has by the same name."""


def _union(tables: list[_Rules], destinations: tuple[Destination, ...]) -> Allowed:
    salts: list[Salt] = [table.cache_salt for table in tables if table.cache_salt]
    return Allowed(
        models=_all_or_union(table.models for table in tables),
        modes=_all_or_union(table.modes for table in tables) or MODES,
        tools=_most([table.tools for table in tables], True),
        max_tokens=_most([table.max_tokens for table in tables], DEFAULT_MAX_TOKENS),
        quota=Quota(
            per_day=_limit(table.tokens_per_day for table in tables),
            per_month=_limit(table.tokens_per_month for table in tables),
        ),
        requests_per_minute=_limit(table.requests_per_minute for table in tables),
        max_waiting=_most([table.max_waiting for table in tables], DEFAULT_MAX_WAITING),
        max_running=_most([table.max_running for table in tables], DEFAULT_MAX_RUNNING),
        cache_salt=min(salts, key=_STRICTEST_FIRST.index, default="user"),
        features=_features(tables),
        destinations=chosen(destinations, {key for table in tables for key in table.destinations or ()}),
        profiles=frozenset(name for table in tables for name in table.profiles or ()),
    )


def _all_or_union(said: Iterable[tuple[str, ...] | None]) -> frozenset[str] | None:
    """None (all) when nobody says anything."""
    lists = [each for each in said if each is not None]
    return frozenset(name for each in lists for name in each) if lists else None


def _most(said: list[T | None], default: T) -> T:
    values = [each for each in said if each is not None]
    return max(values, key=_number) if values else default


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def _limit(said: Iterable[int | None]) -> int | None:
    """The highest limit; 0 means "no limit", and wins."""
    values = [each for each in said if each is not None]
    return max(values) if values and 0 not in values else None


def _features(tables: list[_Rules]) -> dict[FeatureName, Feature]:
    """Those that every table switches off, with the first reason."""
    off: dict[FeatureName, Feature] = {}
    for name in tables[0].features:
        said = [table.features.get(name) for table in tables if name in table.features]
        if len(said) == len(tables) and all(each is not None and not each.enabled for each in said):
            reason = next((each.reason for each in said if each is not None and each.reason), "")
            off[name] = Feature(enabled=False, reason=reason)
    return off


NO_POLICY = Policy(_Rules(), {}, {}, ())
"""No file: no limit but those that keep one user from filling the queue."""


def read_toml(text: str, source: str) -> dict[str, Any]:
    """Raises `SettingsError`, also for what tomllib gives up on: a number of 5,000 digits, a thousand brackets."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise SettingsError(source, f"is not TOML: {problem}") from None


def parse_policy(text: str, source: str) -> Policy:
    """The policy file's text. `SettingsError` begins with `source` and names the table and key that are wrong."""
    tables = read_toml(text, source)
    try:
        file = msgspec.convert(tables, _File)
    except msgspec.ValidationError as problem:
        raise SettingsError(source, f"has a wrong value: {problem}") from None
    destinations = parse_destinations(file.destinations, source)
    known = {each.key for each in destinations}
    _check(file.default, source, "default", known)
    for kind, rules_of in (("groups", file.groups), ("users", file.users)):
        for name, rules in rules_of.items():
            if not _is_line(name, LONGEST_NAME):
                raise SettingsError(source, f"has [{kind}.{name[:80]}], whose name is empty, too long or no plain text")
            _check(rules, source, f"{kind}.{name}", known)
    for name in file.users:
        if name != name.lower():
            raise SettingsError(source, f"has [users.{name}]; the hub writes names in lower case: {name.lower()}")
    _check_announcements(file.announcements, source)
    return Policy(file.default, file.groups, file.users, file.announcements, destinations)


def _check(rules: _Rules, source: str, table: str, destinations: set[str]) -> None:
    for key, least in _AT_LEAST.items():
        value = getattr(rules, key)
        if value is not None and not least <= value <= _MOST:
            raise SettingsError(source, f"has [{table}] {key} = {value}; it must be {least} or more")
    if rules.modes == ():
        raise SettingsError(source, f"has [{table}] modes = []; it must name one of ask, edit and agent")
    for which, feature in rules.features.items():
        if len(feature.reason) > LONGEST_REASON:
            raise SettingsError(source, f"has [{table}] a feature's reason of more than {LONGEST_REASON} characters")
        if feature.reason and not _is_line(feature.reason, LONGEST_REASON):
            raise SettingsError(source, f"has [{table}] a reason for {which} that is no line of plain text")
    for key, names in (("models", rules.models), ("profiles", rules.profiles)):
        for name in names or ():
            if not _is_line(name, LONGEST_NAME):
                raise SettingsError(source, f"has [{table}] {key} = {name[:80]!r}, which is empty, too long or no name")
    for key in rules.destinations or ():
        if key not in destinations:
            raise SettingsError(
                source, f"has [{table}] the destination {key[:80]!r}, which no [[destinations]] describes"
            )


def _check_announcements(announcements: tuple[Announced, ...], source: str) -> None:
    if len(announcements) > MOST_ANNOUNCEMENTS:
        raise SettingsError(source, f"has more than {MOST_ANNOUNCEMENTS} announcements")
    known: set[str] = set()
    for each in announcements:
        where = f"the announcement {each.id[:LONGEST_ID]!r}"
        if not _is_line(each.id, LONGEST_ID):
            raise SettingsError(source, f"has {where}: its id is empty, longer than {LONGEST_ID} or no plain text")
        if each.id in known:
            raise SettingsError(source, f"has {where} twice")
        known.add(each.id)
        if not each.text.strip() or len(each.text) > LONGEST_TEXT:
            raise SettingsError(source, f"has {where}: its text must have from 1 to {LONGEST_TEXT} characters")
        if _NOT_PLAIN.search(each.text.replace("\n", " ")):
            raise SettingsError(source, f"has {where}: its text has characters that are not plain text")
        if each.starts is not None and each.ends is not None and each.ends <= each.starts:
            raise SettingsError(source, f"has {where}: it ends before it starts")


_NOT_PLAIN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Controls, and what turns the direction of the text around it."""


def _is_line(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and _NOT_PLAIN.search(text) is None
