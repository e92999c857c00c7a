"""JSON read so that no two readers can understand it differently, and what a value must be, as small checks. Pure.

Design note. Docker's decoder matches keys without regard to case, takes the last of two equal keys and replaces what is
no Unicode. A filter that judges one reading while the engine acts on another judges nothing; so everything ambiguous is
refused, a body is a record of exactly spelled, known keys, and what goes on is written anew from what was judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

Check = Callable[[Any, str], None]
"""Judges a value; the text is where it stands, for the message."""

DEEPEST = 12
LONGEST_NUMBER = 19  # digits of the largest 64-bit number


class Refused(Exception):
    """A call that does not go on. `status` is what the client gets: 403, or 400 for what is no proper request."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.status = status


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8. Refused (400): another encoding, a key twice, NaN, huge numbers, half characters, NUL."""
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_no_constant, parse_int=_integer, parse_float=_no_fraction
        )
    except (ValueError, RecursionError):
        raise Refused("the body is not JSON in UTF-8", 400) from None
    if not isinstance(value, dict):
        raise Refused("the body is not a JSON object", 400)
    _check_depth(value, DEEPEST)
    return value


def object_to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("the body has a key twice", 400)
    for key, value in pairs:
        _check_text(key)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                _check_text(each)
    return found


def _check_text(text: str) -> None:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise Refused("the body has a character that is none", 400)


def _no_constant(name: str) -> Any:
    raise Refused(f"the body has the number {name}", 400)


def _no_fraction(text: str) -> Any:
    raise Refused("the body has a number with a fraction or an exponent", 400)


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > LONGEST_NUMBER:
        raise Refused("the body has a number that is too large", 400)
    return int(text)


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise Refused("the body is nested too deeply", 400)
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_depth(each, left - 1)


# --- what a value must be


def record(fields: Mapping[str, Check], required: Collection[str] = ()) -> Check:
    """An object of these keys, spelled exactly so, and no others. Null counts as absent."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Refused(f"{where} is not an object")
        for key, item in value.items():
            at = f"{where}.{key[:60]}" if where else key[:60]
            if key not in fields:
                raise Refused(f"{at} is not known here")
            if item is not None:
                fields[key](item, at)
        for key in required:
            if value.get(key) is None:
                raise Refused(f"{where + '.' if where else ''}{key} is missing")

    return check


def text(pattern: str, longest: int = 1024) -> Check:
    """A string that the whole pattern describes."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or len(value) > longest or not compiled.fullmatch(value):
            raise Refused(f"{where} is not a text that is allowed here")

    return check


def free(longest: int) -> Check:
    """Any string up to a length, in characters."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or len(value) > longest:
            raise Refused(f"{where} is not a text of at most {longest} characters")

    return check


def number(lowest: int, highest: int) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise Refused(f"{where} is not a number from {lowest} to {highest}")

    return check


def one_of(*allowed: Any) -> Check:
    """One of these values, of the same type: 1 is not True."""

    def check(value: Any, where: str) -> None:
        if not any(value == each and type(value) is type(each) for each in allowed):
            raise Refused(f"{where} may not have this value")

    return check


def each(item: Check, most: int = 64) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise Refused(f"{where} is not a list of at most {most}")
        for index, entry in enumerate(value):
            item(entry, f"{where}[{index}]")

    return check


def mapping(key: Check, item: Check, most: int = 64) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict) or len(value) > most:
            raise Refused(f"{where} is not an object of at most {most} keys")
        for name, entry in value.items():
            key(name, f"a key of {where}")
            item(entry, f"{where}.{name[:60]}")

    return check


def boolean(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise Refused(f"{where} is neither true nor false")


def empty(value: Any, where: str) -> None:
    """Nothing: null, an empty string, list or object, false or zero."""
    if value not in (None, "", [], {}) and value is not False and value != 0:
        raise Refused(f"{where} is not allowed here")


def absent(value: Any, where: str) -> None:
    """Not even an empty one: where an empty list means more than none."""
    raise Refused(f"{where} is not allowed here")
