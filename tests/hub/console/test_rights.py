"""What somebody may and which tokens they have, as their page says it."""

from __future__ import annotations

from typing import Any

import msgspec
from cellar_hub.console.rights import models_are_away, models_of
from cellar_hub.console.tokens import shown_tokens
from cellar_hub.gateway.state import ModelState, ServerState
from cellar_hub.policy import Allowed

from tests.hub.console.test_charts import EMPTY

WHO = {"name": "ann", "token_id": "a1", "session_id": "here"}


def token(number: str, client: str = "JupyterHub service console", session: str = "", **more: Any) -> dict[str, Any]:
    made = f"2026-11-0{number[1]}T10:00:00Z"
    return {"id": number, "oauth_client": client, "session_id": session, "created": made, "last_activity": None} | more


def test_tokens_of_one_browser_are_one_line_and_the_one_in_front_of_its_user_stands_first_and_is_marked() -> None:
    found = shown_tokens(
        [
            token("a9", "JupyterHub", note="laptop"),
            token("a8", session="there", last_activity="2026-11-20T10:00:00Z"),
            token("a7", "Server at /user/ann/", session="there", last_activity="2026-11-21T10:00:00Z"),
            token("a6", "JupyterHub", note="Server at /user/ann/"),
            token("a2", "Server at /user/ann/", session="here"),
            token("a1", session="here"),
        ],
        WHO,
    )
    assert [(each.kind, each.ids, each.is_here) for each in found] == [
        ("browser", ["a2", "a1"], True),
        ("browser", ["a8", "a7"], False),
        ("workspace", ["a6"], False),
        ("own", ["a9"], False),
    ]
    other = found[1]
    assert dict(other.pages) == {"JupyterHub service console": 1, "Server at /user/ann/": 1}
    assert other.created is not None and other.used is not None and other.created < other.used
    assert found[3].note == "laptop"


def test_log_ins_without_a_session_are_lines_of_their_own_and_the_own_token_is_marked_all_the_same() -> None:
    found = shown_tokens([token("a1"), token("a2")], {"name": "ann", "token_id": "a1", "session_id": None})
    assert [(each.ids, each.is_here) for each in found] == [(["a1"], True), (["a2"], False)]
    assert shown_tokens([], WHO) == []


def test_models_are_those_that_the_gateway_serves_and_the_policy_allows_to_ones_groups() -> None:
    models = [ModelState(id=name, roles=("chat",), groups=groups) for name, groups in (("a", ()), ("b", ("staff",)))]
    server = ServerState(
        url="http://gpu:8000/v1",
        state="up",
        why="",
        models=tuple(models),
        running=0,
        waiting=0,
        max_inflight=8,
        workers={},
        values={},
    )
    state = msgspec.structs.replace(EMPTY, servers=(server,))
    assert models_of(state, Allowed(), ()) == ["a"]
    assert models_of(state, Allowed(), ("staff", "x")) == ["a", "b"]
    assert models_of(state, Allowed(models=frozenset({"b", "gone"})), ("staff",)) == ["b"]
    assert models_of(None, Allowed(models=frozenset({"b", "a"})), ()) == ["a", "b"]
    assert models_of(None, Allowed(), ()) is None
    down = msgspec.structs.replace(server, state="down", models=())
    assert models_are_away(msgspec.structs.replace(EMPTY, servers=(down,)))
    assert not models_are_away(msgspec.structs.replace(EMPTY, servers=(down, server))) and not models_are_away(None)
