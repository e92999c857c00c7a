"""The policy file changed as an administrator would with an editor: one thing, the rest as it was written. Pure.

    change(text, SetField(table="groups.research", field="tokens_per_day", value=500_000))
    change(text, RemoveField(table="users.ann", field="features.export"), RemoveTable(table="groups.old"))

A table is `default`, `groups.NAME` or `users.NAME`; what comes after the first dot is the name, dots and all. A field
is one of `cellar_hub.policy`, or `features.NAME` for one feature of the panel.

Design note. tomlkit keeps comments, order and spelling, but of one table that stands in several places it loses track.
So the file is cut into *sections*, a header and what stands below it, and tomlkit only ever sees one of them. A comment
directly above a header belongs to it, one between two empty lines to nobody: it stays. What comes out is read again
and compared with what was meant: a way of writing that nobody has thought of is refused, and nothing is changed by it.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import msgspec
import tomlkit
from cellar.settings import SettingsError
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, InlineTable

from cellar_hub.policy import read_toml

Keys = tuple[str, ...]
Value = bool | int | str | list[str] | dict[str, Any]
SOURCE = "The policy"


class _Change(msgspec.Struct, frozen=True, kw_only=True, tag_field="change", forbid_unknown_fields=True):
    """As JSON, `change` says which it is: that is how the audit keeps it."""


class SetField(_Change, frozen=True, tag="set_field"):
    """A table that is not there is added."""

    table: str
    field: str
    value: Value


class RemoveField(_Change, frozen=True, tag="remove_field"):
    table: str
    field: str


class AddTable(_Change, frozen=True, tag="add_table"):
    """Without a field yet: for a group or a person that shall be listed."""

    table: str


class RemoveTable(_Change, frozen=True, tag="remove_table"):
    table: str


class PutAnnouncement(_Change, frozen=True, tag="put_announcement"):
    """A new one, or in place of the one with this id. `starts`, `ends`: with a zone."""

    id: str
    level: Literal["info", "warning", "error"]
    text: str
    audience: Literal["all", "users"] | None = None
    dismissible: bool | None = None
    starts: datetime.datetime | None = None
    ends: datetime.datetime | None = None


class RemoveAnnouncement(_Change, frozen=True, tag="remove_announcement"):
    id: str


class PutDestination(_Change, frozen=True, tag="put_destination"):
    """A new one, or in place of the one with this name and port. `to`: HOST:PORT; empty: the same."""

    name: str
    port: int
    to: str = ""


class RemoveDestination(_Change, frozen=True, tag="remove_destination"):
    """`key`: NAME:PORT. Tables that name it name it no longer."""

    key: str


Change = (
    SetField
    | RemoveField
    | AddTable
    | RemoveTable
    | PutAnnouncement
    | RemoveAnnouncement
    | PutDestination
    | RemoveDestination
)


def change(text: str, *changes: Change) -> str:
    """The text with these changes, in their order. Whether it is a policy that may be is for `parse_policy` to say.
    Raises `SettingsError`: the text is no TOML, a table's name is none, or it is written in a way that only an editor
    can change."""
    crlf = "\r\n" in text
    text = text.replace("\r\n", "\n")
    for each in changes:
        text = _change(text, each)
    return text.replace("\n", "\r\n") if crlf else text


def _change(text: str, wanted: Change) -> str:
    before = read_toml(text, SOURCE)
    try:
        meant = deepcopy(before)
        _apply(meant, wanted)
        if _tidy(meant) == _tidy(before) and not isinstance(wanted, AddTable | RemoveTable):
            return text
        sheet = Sheet(text)
        _write(sheet, wanted, before)
        found = sheet.text
        if _tidy(tomllib.loads(found)) == _tidy(meant):
            return found
    except SettingsError:
        raise  # one is a ValueError, too
    except (TOMLKitError, KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        pass  # tomlkit's ways, and a strange file's, of saying that it cannot be
    raise SettingsError(SOURCE, "is written in a way that only an editor can change here")


def path_of(table: str) -> Keys:
    """`groups.NAME` -> ("groups", NAME). Raises `SettingsError`."""
    kind, dot, name = table.partition(".")
    if (kind == "default" and not dot) or (kind in ("groups", "users") and name):
        return (kind, name) if dot else (kind,)
    raise SettingsError(SOURCE, f"has no table {table[:80]!r}; there are default, groups.NAME and users.NAME")


def _field(name: str) -> Keys:
    kind, dot, rest = name.partition(".")
    return (kind, rest) if kind == "features" and dot else (name,)


# -- what is meant: the same on the plain values


def _apply(values: dict[str, Any], wanted: Change) -> None:
    match wanted:
        case SetField():
            _set(values, (*path_of(wanted.table), *_field(wanted.field)), wanted.value)
        case RemoveField():
            _remove(values, (*path_of(wanted.table), *_field(wanted.field)))
        case AddTable():
            _at(values, path_of(wanted.table), make=True)
        case RemoveTable():
            _remove(values, path_of(wanted.table))
        case PutAnnouncement() | PutDestination():
            rows = values.setdefault(_kind(wanted), [])
            row = _row(wanted)
            places = [place for place, each in enumerate(rows) if _same(each, row)]
            if places:
                rows[places[0]] = row
            else:
                rows.append(row)
        case RemoveAnnouncement():
            values["announcements"] = [each for each in values.get("announcements", []) if each.get("id") != wanted.id]
        case RemoveDestination():
            values["destinations"] = [each for each in values.get("destinations", []) if _key(each) != wanted.key]
            for path, keys in _naming(values, wanted.key):
                _set(values, (*path, "destinations"), keys)


def _at(values: Any, path: Keys, make: bool = False) -> Any:
    """None where there is nothing."""
    for name in path:
        if make:
            values = values.setdefault(name, {})
        elif isinstance(values, dict) and name in values:
            values = values[name]
        else:
            return None
    return values


def _set(values: dict[str, Any], path: Keys, value: Any) -> None:
    _at(values, path[:-1], make=True)[path[-1]] = value


def _remove(values: dict[str, Any], path: Keys) -> None:
    table = _at(values, path[:-1])
    if table is not None:
        table.pop(path[-1], None)


def _tidy(values: dict[str, Any]) -> dict[str, Any]:
    """Without what means the same as nothing: no group, no feature, no announcement."""
    found = {name: _without_no_features(each) if name == "default" else each for name, each in values.items()}
    for kind in ("groups", "users"):
        tables = found.get(kind)
        if isinstance(tables, dict):
            found[kind] = _without_empty({name: _without_no_features(each) for name, each in tables.items()})
    return _without_empty(found)


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in values.items() if each not in ([], {})}


def _without_no_features(table: Any) -> Any:
    if isinstance(table, dict) and table.get("features") == {}:
        return {name: each for name, each in table.items() if name != "features"}
    return table


def _kind(row: PutAnnouncement | PutDestination) -> str:
    return "announcements" if isinstance(row, PutAnnouncement) else "destinations"


def _row(wanted: PutAnnouncement | PutDestination) -> dict[str, Any]:
    """As it is written: without what is not said, and with TOML's ends of a line, where browsers send others."""
    found = msgspec.structs.asdict(wanted)
    if isinstance(wanted, PutAnnouncement):
        found["text"] = wanted.text.replace("\r\n", "\n")
    return {name: each for name, each in found.items() if each is not None and not (name == "to" and each == "")}


def _key(row: Mapping[str, Any]) -> str:
    return f"{row.get('name')}:{row.get('port')}"


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.get("id") == other["id"] if "id" in other else _key(one) == _key(other)


def _naming(values: Mapping[str, Any], key: str) -> list[tuple[Keys, list[str]]]:
    """The tables that name this destination, and the others that they name."""
    paths: list[Keys] = [("default",)]
    paths += [(kind, name) for kind in ("groups", "users") for name in values.get(kind, {})]
    found = []
    for path in paths:
        keys = (_at(values, path) or {}).get("destinations", [])
        if key in keys:
            found.append((path, [each for each in keys if each != key]))
    return found


# -- how it is written


def _write(sheet: Sheet, wanted: Change, before: dict[str, Any]) -> None:
    match wanted:
        case SetField():
            sheet.set(path_of(wanted.table), _field(wanted.field), wanted.value)
        case RemoveField():
            sheet.remove(path_of(wanted.table), _field(wanted.field))
        case AddTable():
            if _at(before, path_of(wanted.table)) is None:
                sheet.add(path_of(wanted.table))
        case RemoveTable():
            sheet.remove(path_of(wanted.table))
        case PutAnnouncement() | PutDestination():
            row = _row(wanted)
            sheet.put_row(_kind(wanted), row, lambda each: _same(each, row))
        case RemoveAnnouncement():
            sheet.remove_row("announcements", lambda each: each.get("id") == wanted.id)
        case RemoveDestination():
            sheet.remove_row("destinations", lambda each: _key(each) == wanted.key)
            for path, keys in _naming(before, wanted.key):
                sheet.set(path, ("destinations",), keys)


@dataclass
class Section:
    """A header with what stands below it. `lead`: empty lines and comments above the header; the last of these, with
    no empty line before the header, are about it. `body` begins with the header's line; the first section has none."""

    lead: str
    body: str
    values: dict[str, Any] = field(default_factory=dict)
    path: Keys = ()
    row: bool = False  # [[...]]

    @property
    def own_lead(self) -> tuple[str, str]:
        """(what belongs to nobody, what belongs to this header)."""
        lines = _lines(self.lead)
        start = len(lines)
        while start and lines[start - 1].strip():
            start -= 1
        return "".join(lines[:start]), "".join(lines[start:])


class Sheet:
    """The file in sections."""

    def __init__(self, text: str) -> None:
        self._sections = sections_of(text)

    @property
    def text(self) -> str:
        return "".join(each.lead + each.body for each in self._sections)

    def set(self, table: Keys, key: Keys, value: Value) -> None:
        whole = (*table, *key)
        if key == ("features",):
            self.remove(table, key)
        section = self._holding(whole, len(whole)) or self._apart(whole) or self._holding(whole, len(table))
        section = section or self.add(table)
        if section.path == whole and isinstance(value, Mapping):
            self._edit(section, lambda document: _be(_at(document, whole, make=True), value))
        else:
            self._edit(section, lambda document: _put(document, whole, value))

    def remove(self, table: Keys, key: Keys = ()) -> None:
        whole = (*table, *key)
        self._drop([each for each in self._sections if each.path[: len(whole)] == whole])
        while section := self._holding(whole, len(whole)):
            self._edit(section, partial(_cut, path=whole))

    def add(self, path: Keys) -> Section:
        """After the last of its kind, or at the file's end; where all of a kind stand in one line, there."""
        inline = self._inline(path[0]) if len(path) > 1 else None
        if inline and isinstance(tomlkit.parse(inline.body)[path[0]], InlineTable):
            self._edit(inline, lambda document: _put(document, path, {}))
            return inline
        return self._insert(path, row=False)

    def put_row(self, kind: str, row: dict[str, Any], same: Callable[[Mapping[str, Any]], bool]) -> None:
        if inline := self._inline(kind):
            self._edit(inline, lambda document: _put_inline(document[kind], row, same))
            return
        section = next((each for each in self._rows(kind) if same(each.values[kind][0])), None)
        if section is None:
            section = self._insert((kind,), row=True)
        self._edit(section, lambda document: _be(document[kind][0], row))

    def remove_row(self, kind: str, same: Callable[[Mapping[str, Any]], bool]) -> None:
        if inline := self._inline(kind):
            self._edit(inline, lambda document: _cut_inline(document[kind], same))
            return
        self._drop([each for each in self._rows(kind) if same(each.values[kind][0])])

    def _rows(self, kind: str) -> list[Section]:
        return [each for each in self._sections if each.row and each.path == (kind,)]

    def _inline(self, kind: str) -> Section | None:
        return next((each for each in self._sections if not each.path and kind in each.values), None)

    def _holding(self, whole: Keys, least: int) -> Section | None:
        """Where this is written; else where the table around it is, down to its first `least` names."""
        for length in range(len(whole), least - 1, -1):
            path = whole[:length]
            found = [
                each
                for each in self._sections
                if not each.row and each.path == path[: len(each.path)] and _at(each.values, path) is not None
            ]
            if found:
                return max(found, key=lambda each: len(each.path))
        return None

    def _apart(self, whole: Keys) -> Section | None:
        """A new section for a feature, where the others have headers of their own and no table holds them."""
        around = whole[:-1]
        if around[-1] != "features" or self._holding(around, len(around)):
            return None
        kin = any(each.path[:-1] == around for each in self._sections)
        return self._insert(whole, row=False) if kin else None

    def _insert(self, path: Keys, row: bool) -> Section:
        header = ".".join(tomlkit.key(name).as_string() for name in path)
        body = f"[[{header}]]\n" if row else f"[{header}]\n"
        kin = [place for place, each in enumerate(self._sections) if each.path[:1] == path[:1]]
        place = kin[-1] + 1 if kin else len(self._sections)
        above = "".join(each.lead + each.body for each in self._sections[:place])
        lead = "" if above.endswith("\n\n") or not above else "\n" if above.endswith("\n") else "\n\n"
        section = Section(lead, body, tomllib.loads(body), path, row)
        self._sections.insert(place, section)
        return section

    def _drop(self, sections: Sequence[Section]) -> None:
        """Comments above them that are nobody's go to whoever comes next."""
        for each in sections:
            place = self._sections.index(each)
            del self._sections[place]
            left = each.own_lead[0]
            if not left.strip():
                continue
            if place == len(self._sections):
                self._sections.append(Section(left.rstrip("\n") + "\n", ""))
            else:
                following = self._sections[place]
                following.lead = left.rstrip("\n") + "\n\n" + following.lead.removeprefix("\n")

    def _edit(self, section: Section, edit: Callable[[Any], None]) -> None:
        document = tomlkit.parse(_ended(section.body))
        edit(document)
        section.body = _ended(tomlkit.dumps(document))
        section.values = tomllib.loads(section.body)


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else text + "\n"


def _lines(text: str) -> list[str]:
    """With their ends; and only TOML's ends of a line count."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def sections_of(text: str) -> list[Section]:
    """The first has no header; the last may be comments alone. Together they are the text, which is TOML."""
    pieces: list[str] = [""]
    for line in _lines(text):
        if line.lstrip(" \t").startswith("[") and _is_whole(pieces[-1]):
            pieces.append("")
        pieces[-1] += line
    found: list[Section] = []
    lead = ""
    for index, piece in enumerate(pieces):
        body, trail = _without_trail(piece)
        stays, leads = _share(trail, is_last=index == len(pieces) - 1)
        row, path = _header(body) if index else (False, ())
        found.append(Section(lead, body + stays, tomllib.loads(body), path, row))
        lead = leads
    return [*found, Section(lead, "")] if lead else found


def _is_whole(piece: str) -> bool:
    """Whether a statement may begin after it: not within a string or an array of several lines."""
    try:
        tomllib.loads(piece)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _header(body: str) -> tuple[bool, Keys]:
    values: Any = tomllib.loads(body.split("\n", 1)[0])
    path: list[str] = []
    row = False
    while values:
        [(name, values)] = values.items()
        path.append(name)
        if isinstance(values, list):
            row, values = True, values[0]
    return row, tuple(path)


def _without_trail(piece: str) -> tuple[str, str]:
    """The statements, and the empty lines and comments after the last of them."""
    lines = _lines(piece)
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    while end < len(lines) and not _is_whole("".join(lines[:end])):
        end += 1  # what looks like a comment ends a string of several lines
    return "".join(lines[:end]), "".join(lines[end:])


def _share(trail: str, is_last: bool) -> tuple[str, str]:
    """What stays with the statements above (as far as the first empty line), and what leads to the next header."""
    lines = _lines(trail)
    empty = next((place for place, line in enumerate(lines) if not line.strip()), None)
    if empty is None:
        return (trail, "") if is_last else ("", trail)
    return "".join(lines[:empty]), "".join(lines[empty:])


# -- within one section, by tomlkit


def _put(document: MutableMapping[str, Any], path: Keys, value: Value) -> None:
    *above, last = path
    table: Any = document
    for name in above:
        if name not in table:
            table[name] = tomlkit.inline_table()
        table = table[name]
    old = table.get(last)
    if isinstance(old, Array) and isinstance(value, list) and _refill(old, value):
        return
    table[last] = _item(value)


def _refill(array: Array, wanted: list[str]) -> bool:
    """Take out and add, so that an array of several lines keeps its comments. Whether that did it."""
    for each in [each for each in array if each not in wanted]:
        array.remove(each)
    for each in wanted:
        if each not in array:
            array.append(each)
    return list(array) == wanted


def _item(value: Any) -> Any:
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        for name, each in value.items():
            table[name] = _item(each)
        return table
    return tomlkit.item(value)


def _cut(document: MutableMapping[str, Any], path: Keys) -> None:
    *above, last = path
    tables: list[Any] = [document]
    for name in above:
        tables.append(tables[-1][name])
    del tables[-1][last]
    if above and above[-1] == "features" and not tables[-1]:
        del tables[-2]["features"]


def _be(table: MutableMapping[str, Any], row: Mapping[str, Any]) -> None:
    """Of a row's fields those that are another are written anew."""
    for name in [name for name in table if name not in row]:
        del table[name]
    for name, value in row.items():
        if table.get(name) != value:
            table[name] = _item(value)


def _put_inline(array: Any, row: dict[str, Any], same: Callable[[Mapping[str, Any]], bool]) -> None:
    for place, each in enumerate(array):
        if same(each):
            array[place] = _item(row)
            return
    array.append(_item(row))


def _cut_inline(array: Any, same: Callable[[Mapping[str, Any]], bool]) -> None:
    for place in reversed([place for place, each in enumerate(array) if same(each)]):
        del array[place]
