"""What may be a name, a password and a note; and the command where the hub's packages are missing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cellar_hub.accounts import LONGEST_NOTE, Unusable, check_password, parse_name, parse_note


def test_without_the_hubs_packages_the_command_says_what_to_install() -> None:
    hide = "import sys; sys.modules['sqlalchemy'] = None; from cellar_hub.commands import main; main()"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "pip install 'jupyter-cellar[hub]'" in done.stderr


@pytest.mark.parametrize("password", ["short", "x" * 73, "é" * 40])
def test_a_password_that_is_too_short_or_would_be_cut_off_is_refused(password: str) -> None:
    with pytest.raises(Unusable):
        check_password(password)


def test_a_name_is_kept_in_lowercase() -> None:
    assert parse_name(" Ann.Lee@Example ") == "ann.lee@example"


def test_a_note_is_one_line_of_what_can_be_seen_and_not_long() -> None:
    assert parse_note(" I am\r\n\tAnn \u202e<b>\x1b[2J ") == "I am Ann <b> [2J"
    assert parse_note("가" * LONGEST_NOTE) == "가" * LONGEST_NOTE
    with pytest.raises(Unusable):
        parse_note("x" * (LONGEST_NOTE + 1))
