"""Why a row of a receipt is as it is: a code and its numbers. The panel words the code in the user's language, and
`english` is what stands behind it: for the model's focus block, for logs, for a reader that does not know the code.
"""

from __future__ import annotations

from collections.abc import Iterable

from cellar import wire
from cellar.errors import CellarError

ENGLISH: dict[str, str] = {
    # what is sent before is not sent again
    "above": "shown above",
    "above_in_part": "shown above in part",
    "changed": "changed since it was sent before",
    "cells_changed": "{0:,} of {1:,} cells changed",
    # what was left out
    "no_room": "no room",
    "no_vision": "this model does not see pictures",
    "characters_left_out": "{0:,} of {1:,} characters left out",
    "cells_left_out": "{0:,} cells left out",
    "outputs_shortened": "outputs of {0:,} cells shortened",
    "pictures_left_out": "{0:,} pictures left out",
    "folder": "{0:,} entries, {1:,} of {2:,} files",
    "turns_left_out": "the {0:,} oldest turns left out",
    "turns_bare": "{0:,} turns without their context",
    # what could not be read
    "gone": "no longer there",
    "not_found": "not found",
    "not_read": "not read",
    "outside_workspace": "outside of the workspace",
    "no_permission": "no permission to read it",
    "not_a_file": "not a file",
    "too_large": "{0:,} bytes, at most {1:,} are read",
    "binary": "binary file",
    "picture_kind": "not a PNG, JPEG, GIF or WebP picture",
    "encoding": "not text in a known encoding",
    "not_json": "not JSON that can be read",
    "not_a_notebook": "JSON, but no notebook of format 4",
    "unreadable": "cannot be read",
}


def reason(code: str, *values: int) -> wire.Reason:
    return wire.Reason(code=code, values=values)


def reason_of(error: CellarError) -> wire.Reason:
    """Why a file could not be read: an error's `detail` says it more closely (`why`) than its code."""
    code = str(error.detail.get("why", error.code))
    if code not in ENGLISH:
        code = "unreadable"
    values = [value for name in ("size", "limit") if isinstance(value := error.detail.get(name), int)]
    return wire.Reason(code=code, values=tuple(values))


def english(reasons: Iterable[wire.Reason]) -> str:
    return ", ".join(ENGLISH[one.code].format(*one.values) for one in reasons)
