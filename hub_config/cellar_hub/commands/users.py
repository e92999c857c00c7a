"""`cellar-hub users`: accounts. Default-deny: nobody has one whom an administrator did not give or approve it.

What is done to an account is done by `people`, through the accounts API of the hub.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping
from typing import Any

from cellar.settings import SettingsError

from ..accounts import BAD_NAME, Unusable, Whose, check_password, parse_name
from ..audit.rows import plain
from ..hubapi import HubApi, HubRefused
from ..people import Added, People
from ..settings import HubSettings
from .witness import Witness

THERE = "had an account: it has a new password, and may log in."
SAID = {"allowed": "may log in", "blocked": "blocked", "waiting": "waits for approval", None: "no account"}
EARLIER = (
    "there are files of an earlier {name}: say --same-person if they are this person's, or --new-person, which deletes"
    " them"
)
SETTLED = {"theirs": "has the files of the earlier user of that name", "none": "begins without files"}
KINDS = {
    "approve": "let somebody in who signed up",
    "block": "no log-in, workspace stopped, tokens gone",
    "unblock": "may log in again",
    "promote": "make an administrator of somebody",
    "demote": "an administrator no longer",
    "remove": "turn a sign-up down, or take an account away",
}


def people(env: Mapping[str, str]) -> People:
    """Raises SettingsError."""
    settings = HubSettings.from_env(env)
    if not settings.commands_token:
        raise SettingsError("CELLAR_COMMANDS_TOKEN", "must be set, for the hub and for this command alike")
    url = env.get("CELLAR_HUB_API_URL") or f"http://127.0.0.1:8081{settings.base_path}hub/api"
    gateway = HubApi(settings.gateway_operations, settings.gateway_token, settings.pool, "the gateway")
    return People(HubApi(url, settings.commands_token, settings.pool), gateway, Witness(gateway, env))


def read_password(options: argparse.Namespace) -> str | None:
    """None: the hub shall make one, which must be told."""
    if options.password_stdin:
        return check_password(sys.stdin.readline().rstrip("\n"))
    if sys.stdin.isatty() and not options.generate:
        first = getpass.getpass("Password (empty: make one): ")
        if first:
            if getpass.getpass("Again: ") != first:
                raise Unusable("the two passwords differ")
            return check_password(first)
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="make an account, or give one a new password")
    add.add_argument("name", help="at most 64 letters, digits or . _ @ -")
    add.add_argument("--admin", action="store_true", help="may administer the hub")
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input, one line")
    add.add_argument("--generate", action="store_true", help="make a password and print it")
    _add_whose(add)
    files = actions.add_parser("files", help="say whose the files are that an earlier user of the name has left")
    files.add_argument("name", help="as cellar-hub users list shows it")
    _add_whose(files)
    listed = actions.add_parser("list", help="users, whether they may log in, and whether their workspace runs")
    listed.add_argument("--names", action="store_true", help="names of those with an account, one a line")
    listed.add_argument("--waiting", action="store_true", help="those who signed up and wait, with what they wrote")
    for action, what in KINDS.items():
        actions.add_parser(action, help=what).add_argument("name", help="as cellar-hub users list shows it")


def _add_whose(parser: argparse.ArgumentParser) -> None:
    """Of files that an earlier user of the same name has left."""
    whose = parser.add_mutually_exclusive_group(required=parser.prog.endswith(" files"))
    same = "the files that an earlier user of the name has left are theirs"
    whose.add_argument("--same-person", dest="files", action="store_const", const="theirs", help=same)
    other = "the files that an earlier user of the name has left are deleted now"
    whose.add_argument("--new-person", dest="files", action="store_const", const="none", help=other)


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Exit status. Raises SettingsError, HubRefused, Unusable."""
    name = "" if options.action == "list" else options.name.strip().lower()
    if not name and options.action != "list":
        raise Unusable(BAD_NAME)
    found = people(env)
    if options.action == "add":
        add(found, name, options)
    elif options.action == "files":
        found.settle(name, options.files)
        print(f"{name}: {SETTLED[options.files]}.")
    elif options.action == "block":
        print(f"{name}: {', '.join(found.block(name))}.")
    elif options.action == "promote":
        found.promote(name)
        print(f"{name} is an administrator.")
    elif options.action == "demote":
        print(f"{name}: {', '.join(found.demote(name))}.")
    elif options.action == "remove":
        print(f"{name}: {', '.join(found.remove(name))}.")
    elif options.action == "approve":
        found.approve(name)
        print(f"{name} may log in.")
    elif options.action == "unblock":
        found.unblock(name)
        print(f"{name} may log in again.")
    else:
        show(found.listed(), options)
    return 0


def add(found: People, name: str, options: argparse.Namespace) -> None:
    if found.accounts(limit=0)["kind"] != "local":
        _asked(found, name, None, options)
        print(f"{name} may log in, with the directory's password.")
        return
    name = parse_name(name)  # a directory's names have other letters, too: the hub says which may be one
    done = _asked(found, name, read_password(options), options)
    print(
        f"{name} {THERE if done.was_there else 'may log in.'}"
        + (f" Password: {done.password}" if done.password else "")
    )


def _asked(found: People, name: str, password: str | None, options: argparse.Namespace) -> Added:
    whose: Whose | None = options.files
    try:
        return found.add(name, password, options.admin, whose)
    except HubRefused as refused:
        if refused.status == 409 and whose is None:
            raise Unusable(EARLIER.format(name=name)) from None
        raise


def show(found: list[dict[str, Any]], options: argparse.Namespace) -> None:
    for user in found:
        if options.names:
            if user["account"] is not None:
                print(plain(user["name"]))
        elif options.waiting:
            if user["account"] == "waiting":
                print(f"{plain(user['name']):<32} {plain(user['note'])}".rstrip())
        else:
            running = "workspace runs" if user.get("servers") else ""
            admin = "admin" if user.get("admin") else ""
            print(f"{plain(user['name']):<32} {SAID[user['account']]:<18} {admin:<6} {running}".rstrip())
