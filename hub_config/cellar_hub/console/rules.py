"""One table of the policy as a form, and the form as changes of the policy file. Pure.

What is left empty is not said by this table: then another one's word counts, or nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import msgspec
from cellar.wire import FeatureName

from cellar_hub.policyedit import Change, RemoveField, SetField

LISTS = ("models", "modes", "destinations", "profiles")
MODES = ("ask", "edit", "agent")
NUMBERS = (
    "tokens_per_day",
    "tokens_per_month",
    "requests_per_minute",
    "max_tokens",
    "max_running",
    "max_waiting",
)
FEATURES: tuple[str, ...] = get_args(FeatureName)
SALTS = ("user", "group", "none")
Switch = Literal["", "on", "off"]


class Unclear(Exception):
    """What was typed into the field of that name cannot be meant."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class NotANumber(Unclear):
    """It has to be a whole number."""


class ReasonAlone(Unclear):
    """A reason was typed for a feature of which nothing is said: nobody would ever read it."""


class FeatureForm(msgspec.Struct):
    switch: Switch = ""
    reason: str = ""


class RulesForm(msgspec.Struct, kw_only=True):
    """As it stands on the page: numbers are as typed; a list that is None is not said."""

    lists: dict[str, list[str] | None]
    numbers: dict[str, str]
    tools: Switch = ""
    cache_salt: str = ""
    features: dict[str, FeatureForm]


def form_of(table: Mapping[str, Any]) -> RulesForm:
    """Of a table as the policy file has it."""
    features = table.get("features", {})
    return RulesForm(
        lists={name: list(table[name]) if name in table else None for name in LISTS},
        numbers={name: f"{table[name]:,}" if name in table else "" for name in NUMBERS},
        tools="" if "tools" not in table else "on" if table["tools"] else "off",
        cache_salt=str(table.get("cache_salt", "")),
        features={
            name: FeatureForm("on" if features[name].get("enabled", True) else "off", features[name].get("reason", ""))
            if name in features
            else FeatureForm()
            for name in FEATURES
        },
    )


def form_sent(one: Callable[[str], str], many: Callable[[str], list[str]]) -> RulesForm:
    """Of what a browser sent: `one` and `many` values of a field."""

    def listed(name: str) -> list[str] | None:
        more = [word for word in one(f"{name}_more").replace(",", " ").split() if word]
        return list(dict.fromkeys([*many(name), *more])) if one(f"{name}_said") else None

    return RulesForm(
        lists={name: listed(name) for name in LISTS},
        numbers={name: one(name).strip() for name in NUMBERS},
        tools=_switch(one("tools")),
        cache_salt=one("cache_salt") if one("cache_salt") in SALTS else "",
        features={
            name: FeatureForm(_switch(one(f"feature_{name}")), one(f"reason_{name}").strip()) for name in FEATURES
        },
    )


def _switch(text: str) -> Switch:
    return "on" if text == "on" else "off" if text == "off" else ""


def table_of(form: RulesForm) -> dict[str, Any]:
    """As the policy file would have it. Raises NotANumber."""
    found: dict[str, Any] = {name: each for name, each in form.lists.items() if each is not None}
    for name, typed in form.numbers.items():
        digits = typed.replace(",", "").replace("_", "").replace(" ", "")
        if not digits:
            continue
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 15):
            raise NotANumber(name)
        found[name] = int(digits)
    if form.tools:
        found["tools"] = form.tools == "on"
    if form.cache_salt:
        found["cache_salt"] = form.cache_salt
    features = {
        name: {"enabled": each.switch == "on"} | ({"reason": each.reason} if each.reason else {})
        for name, each in form.features.items()
        if each.switch
    }
    return found | ({"features": features} if features else {})


def changes_of(table: str, before: Mapping[str, Any], form: RulesForm) -> list[Change]:
    """What makes the table `before` what the form says. Raises Unclear."""
    after = table_of(form)
    known = {*LISTS, *NUMBERS, "tools", "cache_salt"}
    changes: list[Change] = []
    for name in sorted(known):
        if name in after and after[name] != before.get(name):
            changes.append(SetField(table=table, field=name, value=after[name]))
        elif name in before and name not in after:
            changes.append(RemoveField(table=table, field=name))
    old, new = before.get("features", {}), after.get("features", {})
    for name in FEATURES:
        each = form.features[name]
        if each.reason and not each.switch and each.reason != old.get(name, {}).get("reason"):
            raise ReasonAlone(name)
        if name in new and not _same_feature(new[name], old.get(name)):
            changes.append(SetField(table=table, field=f"features.{name}", value=new[name]))
        elif name in old and name not in new:
            changes.append(RemoveField(table=table, field=f"features.{name}"))
    return changes


def _same_feature(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    if other is None:
        return False
    return (one.get("enabled", True), one.get("reason", "")) == (other.get("enabled", True), other.get("reason", ""))


def said(changes: list[Change]) -> dict[str, str | int]:
    """For the audit: each change in a word."""
    return {f"change_{number}": msgspec.json.encode(each).decode() for number, each in enumerate(changes, 1)}
