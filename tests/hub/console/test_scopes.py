"""The console's tokens may do what its pages do, and nothing else."""

from __future__ import annotations

from cellar_hub.console import SCOPES
from jupyterhub.scopes import expand_scopes

WHY = {
    "read:users!user": "their own page: name, groups, whether the workspace runs",
    "servers!user": "their own page: start and stop the workspace",
    "tokens!user": "their own page: which tokens there are, and to revoke them",
    "admin:users": "accounts (their API asks for it), the list of users; by it the console knows administrators",
    "servers": "a user's page: start and stop their workspace",
    "tokens": "a user's page, and blocking somebody: their tokens are listed and revoked",
    "admin:groups": "groups: their list, members, new ones, to remove one",
}
OPENS_MORE = (
    *("access:servers", "access:services", "admin-ui", "admin:server_state", "admin:services", "custom:llm:chat"),
    *("groups:shares", "inherit", "proxy", "read:hub", "read:metrics", "self", "shares", "shutdown", "users:shares"),
)


def test_each_scope_of_the_consoles_tokens_is_there_for_a_reason() -> None:
    assert set(SCOPES) == set(WHY)


def test_a_token_of_the_console_opens_no_workspace_and_reaches_nothing_but_users_groups_servers_and_tokens() -> None:
    expanded = {scope.partition("!")[0] for scope in expand_scopes({each.partition("!")[0] for each in SCOPES})}
    assert {"delete:users", "delete:servers", "delete:groups", "read:tokens", "list:groups"} <= expanded
    assert expanded.isdisjoint(OPENS_MORE)
