"""What a user of these groups may: the policy file (TOML), parsed strictly, and the union over a user's groups. Pure.

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

    [[destinations]]                   # see `cellar_hub.destinations`
    name = "warehouse.corp"
    port = 5432

    [[announcements]]
    id = "move"
    level = "info"
    text = "The large model moves on Friday."

Design note. A group only ever *adds*: of everything that is said for a user, `[default]` included, the most generous
word counts, and what is not said anywhere is not limited. So nobody loses something by becoming a member, and the order
of groups means nothing. Two fields cannot be added up: of `cache_salt` the strictest word counts, because sharing a
prefix cache lets others find out by timing what was asked; a feature of the panel is off when every table that applies
says so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

import msgspec
from cellar.settings import SettingsError
from cellar.wire import Announcement, Feature, FeatureName

from cellar_hub.destinations import Destination, Row, chosen, parse_destinations
from cellar_hub.usage.quota import Quota

MODES = frozenset({"ask", "edit", "agent"})
DEFAULT_MAX_TOKENS = 4096
DEFAULT_MAX_WAITING = 16
DEFAULT_MAX_RUNNING = 8

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
    destinations: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    default: _Rules = _Rules()
    groups: dict[str, _Rules] = {}
    announcements: tuple[Announcement, ...] = ()
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
    """The file, ready to be asked. `announcements` are for everybody; `destinations` are all that anybody may have."""

    def __init__(
        self,
        default: _Rules,
        groups: dict[str, _Rules],
        announcements: tuple[Announcement, ...],
        destinations: tuple[Destination, ...] = (),
    ) -> None:
        self._default = default
        self._groups = groups
        self.announcements = announcements
        self.destinations = destinations
        self._known: dict[tuple[str, ...], Allowed] = {}

    @property
    def groups(self) -> tuple[str, ...]:
        """Those that the file speaks of."""
        return tuple(self._groups)

    def for_(self, user: str, groups: Sequence[str]) -> Allowed:
        """The union over `[default]` and the user's groups. (`user`: for rules of single users, still to come.)"""
        named = tuple(sorted(set(groups) & self._groups.keys()))
        found = self._known.get(named)
        if found is None:
            found = self._known[named] = self._union(named)
        return found

    def _union(self, named: tuple[str, ...]) -> Allowed:
        tables = [self._default, *(self._groups[name] for name in named)]
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
            salt_group=named[0] if named else "",
            features=_features(tables),
            destinations=chosen(self.destinations, {key for table in tables for key in table.destinations}),
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


NO_POLICY = Policy(_Rules(), {}, ())
"""No file: no limit but those that keep one user from filling the queue."""


def parse_policy(text: str, source: str) -> Policy:
    """The policy file's text. `SettingsError` begins with `source` and names the table and key that are wrong."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(source, f"is not TOML: {problem}") from None
    try:
        file = msgspec.convert(tables, _File)
    except msgspec.ValidationError as problem:
        raise SettingsError(source, f"has a wrong value: {problem}") from None
    destinations = parse_destinations(file.destinations, source)
    known = {each.key for each in destinations}
    _check(file.default, source, "default", known)
    for name, rules in file.groups.items():
        _check(rules, source, f"groups.{name}", known)
    return Policy(file.default, file.groups, file.announcements, destinations)


def _check(rules: _Rules, source: str, table: str, destinations: set[str]) -> None:
    for key, least in _AT_LEAST.items():
        value = getattr(rules, key)
        if value is not None and not least <= value <= _MOST:
            raise SettingsError(source, f"has [{table}] {key} = {value}; it must be {least} or more")
    for feature in rules.features.values():
        if len(feature.reason) > 200:
            raise SettingsError(source, f"has [{table}] a feature's reason of more than 200 characters")
    for key in rules.destinations:
        if key not in destinations:
            raise SettingsError(
                source, f"has [{table}] the destination {key[:80]!r}, which no [[destinations]] describes"
            )
