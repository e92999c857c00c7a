"""`cellar-hub users`: local accounts. Default-deny: nobody has one whom an administrator did not give it.

What lets somebody in stands in the audit before it is done, or is not done. Whoever must be kept out is kept out first,
and told of afterwards.
"""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from cellar.settings import SettingsError

from ..audit.rows import plain
from ..settings import HubSettings
from .accounts import Accounts, Unusable, check_password, parse_name
from .hubapi import HubApi, HubRefused
from .witness import Unseen, Witness

THERE = "had an account: it has a new password, and may log in."
ROUNDS = 5  # of taking tokens away


class Users:
    """The hub's users and the accounts behind them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        settings = HubSettings.from_env(env)
        if not settings.commands_token:
            raise SettingsError("CELLAR_COMMANDS_TOKEN", "must be set, for the hub and for this command alike")
        url = env.get("CELLAR_HUB_API_URL") or f"http://127.0.0.1:8081{settings.base_path}hub/api"
        self.hub = HubApi(url, settings.commands_token, settings.pool)
        self.gateway = HubApi(settings.gateway_operations, settings.gateway_token, settings.pool, "the gateway")
        self.witness = Witness(self.gateway, env)
        self.accounts = Accounts(settings.database_url)

    def add(self, name: str, password: str, admin: bool) -> None:
        """Raises HubRefused; an account that was there gets the new password, and becomes an administrator's."""
        with self.witness.watching("user.add", name, admin="yes" if admin else "no"):
            try:
                self.hub.ask("POST", self.hub.user(name), {"admin": admin})
            except HubRefused as refused:
                if refused.status != 409:  # there already
                    raise
                if admin:
                    self.hub.ask("PATCH", self.hub.user(name), {"admin": True})
            self.accounts.put(name, password)

    def unblock(self, name: str) -> None:
        """Raises HubRefused, and Unusable when there is no such account."""
        with self.witness.watching("user.unblock", name):
            if not self.accounts.allow(name, True):
                raise Unusable(f"{name} has no local account: cellar-hub users add {name}")

    def block(self, name: str) -> list[str]:
        """Close the account, stop the workspace, take every token away; what was done."""
        done = ["may not log in any more"] if self.accounts.allow(name, False) else ["has no local account"]
        try:
            return self._shut_out(name, done)
        except HubRefused as refused:
            done.append(str(refused))
            raise
        finally:
            self._tell_blocked(name, done)

    def _tell_blocked(self, name: str, done: list[str]) -> None:
        try:
            self.witness.tell("user.block", name, {"done": ", ".join(done)}, patience=2.0)
        except Unseen as unseen:
            sys.stderr.write(f"cellar-hub: this is NOT in the audit: {unseen}\n")

    def _shut_out(self, name: str, done: list[str]) -> list[str]:
        """Tokens first: with one, a workspace could be started again. What the hub refuses is raised when the rest is
        done."""
        refusals: list[HubRefused] = []
        taken = 0
        for _ in range(ROUNDS):  # a program may make new ones meanwhile, for as long as the hub believes its token
            tokens = (self.hub.ask("GET", f"{self.hub.user(name)}/tokens") or {}).get("api_tokens", [])
            if not tokens:
                break
            for token in tokens:
                taken += self._try(refusals, f"{self.hub.user(name)}/tokens/{token['id']}")
        done.append(f"{taken} tokens taken away")
        for server in self.hub.ask("GET", self.hub.user(name)).get("servers") or {}:
            if self._try(refusals, f"{self.hub.user(name)}/{f'servers/{server}' if server else 'server'}"):
                done.append(f"workspace {server or '(the only one)'} is being stopped")
        try:
            told = self.gateway.ask("POST", "/revoke", {"user": name}) or {}
            if unheard := told.get("unheard"):
                done.append(f"{unheard} of the gateways did not hear it, and believe tokens for 30 seconds more")
        except HubRefused as refused:
            done.append(f"the gateway was not told ({refused}) and believes tokens for 30 seconds more")
        if refusals:
            raise refusals[0]
        return done

    def _try(self, refusals: list[HubRefused], path: str) -> bool:
        """Whether what is at `path` goes, or has gone meanwhile."""
        try:
            self.hub.ask("DELETE", path)
        except HubRefused as refused:
            if refused.status != 404:
                refusals.append(refused)
                return False
        return True

    def listed(self) -> list[dict[str, Any]]:
        allowed = self.accounts.allowed()
        return [user | {"account": allowed.get(user["name"])} for user in self.hub.users()]


def read_password(options: argparse.Namespace) -> tuple[str, bool]:
    """The password, and whether it was made here and must be told."""
    if options.password_stdin:
        return check_password(sys.stdin.readline().rstrip("\n")), False
    if sys.stdin.isatty() and not options.generate:
        first = getpass.getpass("Password (empty: make one): ")
        if first:
            if getpass.getpass("Again: ") != first:
                raise Unusable("the two passwords differ")
            return check_password(first), False
    return secrets.token_urlsafe(12), True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="make an account, or give one a new password")
    add.add_argument("name", help="at most 64 letters, digits or . _ @ -")
    add.add_argument("--admin", action="store_true", help="may administer the hub")
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input, one line")
    add.add_argument("--generate", action="store_true", help="make a password and print it")
    listed = actions.add_parser("list", help="users, whether they may log in, and whether their workspace runs")
    listed.add_argument("--names", action="store_true", help="names of those with an account, one a line")
    for action, what in (("block", "no log-in, workspace stopped, tokens gone"), ("unblock", "may log in again")):
        actions.add_parser(action, help=what).add_argument("name", help="as cellar-hub users list shows it")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Exit status. Raises SettingsError, HubRefused, Unusable."""
    name = parse_name(options.name) if options.action != "list" else ""
    users = Users(env)
    if options.action == "add":
        password, made = read_password(options)
        was_there = name in users.accounts.allowed()
        users.add(name, password, options.admin)
        print(f"{name} {THERE if was_there else 'may log in.'}" + (f" Password: {password}" if made else ""))
    elif options.action == "block":
        print(f"{name}: {', '.join(users.block(name))}.")
    elif options.action == "unblock":
        users.unblock(name)
        print(f"{name} may log in again.")
    else:
        show(users.listed(), options.names)
    users.accounts.close()
    return 0


def show(found: list[dict[str, Any]], names: bool) -> None:
    for user in sorted(found, key=lambda user: str(user["name"])):
        if names:
            if user["account"] is not None:
                print(plain(user["name"]))
            continue
        account = {True: "may log in", False: "blocked", None: "no account"}[user["account"]]
        running = "workspace runs" if user.get("servers") else ""
        print(f"{plain(user['name']):<32} {account:<11} {'admin' if user.get('admin') else '':<6} {running}".rstrip())
