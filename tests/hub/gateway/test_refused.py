"""Every refusal of the gateway is understood by our own client, as plain HTTP and as an event."""

from __future__ import annotations

import json

import pytest
from cellar.errors import (
    CellarError,
    Forbidden,
    ModelFailed,
    ModelNotFound,
    ModelServerDown,
    ModelTimeout,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    TooLarge,
    Unauthorized,
)
from cellar.refusals import error_event, refusal
from cellar_hub.gateway import refused
from cellar_hub.gateway.refused import Refused

CASES: list[tuple[Refused, type[CellarError]]] = [
    (refused.unauthorized("Who?"), Unauthorized),
    (refused.forbidden("Not you"), Forbidden),
    (refused.bad_request("What?"), RequestRefused),
    (refused.too_large(10), TooLarge),
    (refused.no_such_model("x"), ModelNotFound),
    (refused.queue_full("Full", 7), QueueFull),
    (refused.quota_exceeded("day", 90, 100, 2_000_000_000, 1_999_999_000), QuotaExceeded),
    (refused.rate_limited(3, 20), RateLimited),
    (refused.not_available("Restart"), ModelServerDown),
    (refused.not_available("Hub", code="hub_down"), ModelServerDown),
    (refused.not_available("Books", code="database_down"), ModelServerDown),
    (refused.not_available("Model", code="model_down"), ModelServerDown),
    (Refused(504, "model_timeout", "Slow"), ModelTimeout),
    (Refused(502, "model_failed", "Cut"), ModelFailed),
]


@pytest.mark.parametrize(("said", "meant"), CASES, ids=lambda case: getattr(case, "code", ""))
def test_our_client_understands_what_the_gateway_says(said: Refused, meant: type[CellarError]) -> None:
    headers = {name.decode(): value.decode() for name, value in said.headers()}
    plain = refusal(said.status, headers, said.body())
    assert type(plain) is meant
    data, done = [line[6:] for line in said.event().decode().split("\n") if line.startswith("data: ")]
    event = error_event(json.loads(data)["error"])
    assert type(event) is meant and done == "[DONE]"
    if said.retry_after is not None:
        assert plain.retry_after == event.retry_after == said.retry_after
    if meant is QuotaExceeded:
        assert plain.detail == event.detail == {"used": 90, "limit": 100, "resets_at": 2_000_000_000}


def test_a_models_name_is_quoted_with_bounds() -> None:
    message = refused.no_such_model("\u202e" + "x" * 500 + "\n").message
    assert len(message) < 200 and message.isprintable()
