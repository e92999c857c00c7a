"""Clocks that are off: a hub's, a model server's, a database's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from cellar_hub.commands.program import run
from cellar_hub.doctor import Failed, clocks

from tests.hub.gateway.test_limits import Redis, a_redis
from tests.hub.postgres import Cluster

__all__ = ["a_redis"]  # a fixture
TOKEN = "gateway-token-0123456789"


class Clock(ThreadingHTTPServer):
    """Answers as hub and as model server, with a clock of its own: `ahead` seconds before ours, or none."""

    ahead: float | None = 0.0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Clock

    def do_GET(self) -> None:
        said = {"version": "6.1.1", "data": [{"id": "model"}]}
        body = json.dumps(said).encode()
        self.send_response_only(200)
        if self.server.ahead is not None:
            self.send_header("Date", formatdate(time.time() + self.server.ahead, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def clock() -> Iterator[Clock]:
    with Clock(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def said(clock: Clock, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What the doctor says in the gateway's place: name of the check -> its line, without the clock's address."""
    env = {"CELLAR_HUB_API_URL": f"{clock.root}/hub/api", "VLLM_BASE_URL": f"{clock.root}/v1"}
    run(["check"], env | {"CELLAR_DATA": str(folder), "CELLAR_GATEWAY_TOKEN": TOKEN})
    lines = capsys.readouterr().out.replace(clock.root, "THERE").splitlines()
    return {line[6:].partition(": ")[0]: line for line in lines}


@pytest.mark.parametrize(("ahead", "how"), [(90.0, "ahead of"), (-3600.0, "behind")])
def test_a_clock_that_is_off_fails_and_says_how_far(
    ahead: float, how: str, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.ahead = ahead
    found = said(clock, tmp_path, capsys)
    assert found["clock"].startswith("FAIL  clock: the hub's clock is ") and how in found["clock"]
    line = found["clock of model server THERE/v1"]
    assert line.startswith("FAIL") and f" s {how} the clock here: switch on time synchronisation (NTP)" in line


def test_clocks_that_agree_are_well_and_a_model_server_need_not_tell_the_time(
    clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(clock, tmp_path, capsys)
    assert found["clock"] == "ok    clock: agrees with the hub's"
    assert found["clock of model server THERE/v1"].endswith("agrees with the model server's")
    clock.ahead = None
    found = said(clock, tmp_path, capsys)
    assert found["clock"] == "FAIL  clock: the hub tells no time"
    assert found["clock of model server THERE/v1"].startswith("ok") and "it tells none" in str(found)


def test_a_databases_clock_is_compared_with_ours(postgresql: Cluster) -> None:
    """One that is off: a function of that name, found before PostgreSQL's own."""
    with postgresql.database() as url:
        assert clocks.of_database(url) == "agrees with the database's"
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
                " AS $$ SELECT pg_catalog.clock_timestamp() - interval '20 minutes' $$"
            )
        with pytest.raises(Failed, match=r"^the database's clock is 1[12]\d\d s behind the clock here: switch on"):
            clocks.of_database(f"{url}?options=-csearch_path%3Dpublic,pg_catalog")


def test_the_books_clock_is_looked_at_where_they_are_in_postgresql(
    postgresql: Cluster, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with postgresql.database() as url:
        env = {"CELLAR_HUB_API_URL": f"{clock.root}/hub/api", "VLLM_BASE_URL": f"{clock.root}/v1"}
        run(["check"], env | {"CELLAR_DATABASE_URL": url, "CELLAR_DATA": str(tmp_path), "CELLAR_GATEWAY_TOKEN": TOKEN})
    assert "ok    clock of the books: agrees with the database's" in capsys.readouterr().out


def test_a_database_that_is_down_is_said_without_its_password() -> None:
    with pytest.raises(Failed, match=r"^does not answer: OperationalError") as problem:
        clocks.of_database("postgresql+psycopg://hub:pass-0123@127.0.0.1:9/none")
    assert "pass-0123" not in str(problem.value)


def test_redis_is_asked_for_its_time_and_said_to_be_away(
    a_redis: Redis, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"CELLAR_HUB_API_URL": f"{clock.root}/hub/api", "VLLM_BASE_URL": f"{clock.root}/v1"}
    env |= {"CELLAR_REDIS_URL": a_redis.url, "CELLAR_DATA": str(tmp_path), "CELLAR_GATEWAY_TOKEN": TOKEN}
    run(["check"], env)
    assert "ok    Redis: answers; the clock here agrees with Redis's" in capsys.readouterr().out
    a_redis.stop()
    assert run(["check"], env) == 1
    assert "FAIL  Redis: does not answer: ConnectionError; until it does, each gateway" in capsys.readouterr().out
