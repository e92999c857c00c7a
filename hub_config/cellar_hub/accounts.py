"""What a name, a password and a note may be, and the states of an account: the same at the command line, on the pages
and in the hub's API. Pure."""

from __future__ import annotations

import re
from typing import Literal

State = Literal["waiting", "allowed", "blocked"]
"""Signed up, and nobody has approved yet; may log in; does not get in whatever the password or a directory says."""

Whose = Literal["theirs", "none"]
"""Of files that an earlier user of a name has left: the new one's, or to be deleted."""

STATES: tuple[State, ...] = ("waiting", "allowed", "blocked")
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?", re.ASCII)
SHORTEST, LONGEST = 10, 72  # characters; bcrypt reads no more than 72 bytes
LONGEST_NOTE = 500  # characters
BAD_NAME = "a name has at most 64 letters, digits or . _ @ -, and begins and ends with a letter or digit"
BAD_PASSWORD = f"a password has {SHORTEST} to {LONGEST} characters"
BAD_NOTE = f"a note has at most {LONGEST_NOTE} characters"


class Unusable(Exception):
    """A name, a password or a note that cannot be one."""


def parse_name(value: str) -> str:
    """A user's name as the hub keeps it: lowercase ASCII. Raises Unusable."""
    name = value.strip().lower()
    if not NAME.fullmatch(name) or ".." in name:
        raise Unusable(BAD_NAME)
    return name


def check_password(password: str) -> str:
    """Raises Unusable. A character of another script counts as two or three."""
    if len(password) < SHORTEST or len(password.encode("utf-8", "surrogatepass")) > LONGEST:
        raise Unusable(BAD_PASSWORD)
    return password


def parse_note(value: str) -> str:
    """Made one line of what somebody writes to the administrator. Raises Unusable."""
    note = " ".join("".join(each if each.isprintable() else " " for each in value).split())
    if len(note) > LONGEST_NOTE:
        raise Unusable(BAD_NOTE)
    return note
