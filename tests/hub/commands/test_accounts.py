"""The accounts' table on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys

import bcrypt
from cellar_hub.commands.accounts import Accounts
from sqlalchemy import select


def test_an_account_is_made_changed_closed_and_opened_again(database: str) -> None:
    accounts = Accounts(database)
    assert accounts.allowed() == {}
    accounts.put("ann", "first password")
    accounts.put("ann", "second password")
    accounts.put("bob", "another password")
    assert accounts.allowed() == {"ann": True, "bob": True}
    assert accounts.allow("ann", False)
    assert accounts.allowed() == {"ann": False, "bob": True}
    assert not accounts.allow("nobody", False)
    with accounts._engine.connect() as connection:
        columns = accounts._table.c
        digest = connection.execute(select(columns.password).where(columns.username == "ann")).scalar_one()
    assert bcrypt.checkpw(b"second password", bytes(digest))
    accounts.close()


def test_without_the_hubs_packages_the_command_says_what_to_install() -> None:
    hide = "import sys; sys.modules['sqlalchemy'] = None; from cellar_hub.commands import main; main()"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "pip install 'jupyter-cellar[hub]'" in done.stderr
