"""The overlays for PostgreSQL, Redis and HTTPS, together: a log-in, a kernel and answers through all of them, and what
happens when one is killed."""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
import websocket
from cellar_hub.spawner import inside

from tests.conftest import FOREIGN, PROXIES
from tests.docker.conftest import _missing
from tests.docker.site.installation import LONG, SHORT, Installation, running
from tests.docker.site.leftovers import assert_nothing_is_left, assert_the_audit_is_whole, audit_of
from tests.docker.site.test_5_network import addresses
from tests.docker.site.traces import hub_side, in_layers, in_logs, in_volumes, in_words
from tests.fakes.fixtures import unused_port
from tests.hub.compose.nginx import certificate
from tests.ui.lab import wait_until
from tools import hub, images

# Two minutes, and two for the image of PostgreSQL, Redis and nginx where nothing is kept: too much for `make test`.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SCOPES = ["custom:llm:chat", "access:services!service=cellar"]
GATEWAY = "/services/cellar/v1"
QUESTION = [{"role": "user", "content": "Tell me a very long story about the sea."}]
FOREVER = {"max_tokens": 4000, "ignore_eos": True}
MEGABYTE = 1024 * 1024
USER = 10001
"""Of the images: who reads tls.key."""
OVERLAYS = ("postgres", "redis", "tls", "forwarder-1", "forwarder-2")
REDIS_DUMP = """
redis-cli config set rdbcompression no >/dev/null
redis-cli --rdb /tmp/all.rdb >/dev/null 2>&1
strings=$(tr -cd '[:print:]\\n' </tmp/all.rdb)
rm /tmp/all.rdb
echo "$strings"
"""
"""All that Redis holds, as text."""
DATABASES = {"postgres": 5432, "redis": 6379}
LOAD = 6
"""Programs that ask one short question after the other."""

CONNECT = """
import json, os, sys, psycopg, sqlalchemy
url = os.environ.get("CELLAR_HUB_DATABASE_URL") or os.environ["CELLAR_DATABASE_URL"]
own = sqlalchemy.make_url(url).set(drivername="postgresql")
found = {}
for name, database in (("own", own.database), ("other", sys.argv[1])):
    try:
        with psycopg.connect(own.set(database=database).render_as_string(hide_password=False)) as connection:
            asked = "select rolsuper from pg_roles where rolname = current_user"
            found[name] = str(connection.execute(asked).fetchall())
    except psycopg.OperationalError as error:
        found[name] = str(error)
print(json.dumps(found))
"""
"""Connects as a service does, to its own database and to another one, and says what came of it."""


class Browser:
    """A user's browser without a screen: cookies, redirects, the XSRF header, and trust in the site's certificate."""

    def __init__(self, site: Installation, name: str) -> None:
        self.site, self.name = site, name
        self.origin = site.more["CELLAR_PUBLIC_URL"]
        self.trust = ssl.create_default_context(cafile=f"{site.more['CELLAR_TLS_FILES']}/tls.crt")
        self.http = httpx.Client(base_url=self.origin, verify=self.trust, follow_redirects=True, timeout=60)
        self.token = self.model = ""

    def cookie(self, name: str, path: str) -> str:
        return next(each.value or "" for each in self.http.cookies.jar if (each.name, each.path) == (name, path))

    def post_log_in(self, **fields: str) -> httpx.Response:
        return self.http.post("/hub/login", data={"username": self.name, **fields}, headers={"Origin": self.origin})

    def try_log_in(self) -> httpx.Response:
        self.http.get("/hub/login")
        return self.post_log_in(password=self.site.passwords[self.name], _xsrf=self.cookie("_xsrf", "/hub/"))

    def log_in(self) -> None:
        """Until the workspace answers. The token that other programs ask the gateway with is made on the way."""
        answer = self.try_log_in()
        assert answer.status_code == 200, answer.text[:500]
        assert "/hub/spawn-pending/" in str(answer.url) or f"/user/{self.name}/" in str(answer.url), answer.url
        wait_until(lambda: self.open("lab").url.path == f"/user/{self.name}/lab", "JupyterLab", 120)
        body = {"note": "test", "scopes": SCOPES}
        found = self.http.post(f"/hub/api/users/{self.name}/tokens", json=body, headers=self.xsrf("/hub/"))
        assert found.status_code == 201, found.text
        self.token = found.json()["token"]
        listed = self.http.get(f"{GATEWAY}/models", headers={"Authorization": f"Bearer {self.token}"})
        self.model = listed.json()["data"][0]["id"]

    def open(self, path: str) -> httpx.Response:
        """A page of the user's server, or where the hub leads instead."""
        return self.http.get(f"/user/{self.name}/{path}")

    def xsrf(self, path: str) -> dict[str, str]:
        return {"X-XSRFToken": self.cookie("_xsrf", path), "Origin": self.origin}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The user's own server; `path` is below it."""
        home = f"/user/{self.name}/"
        return self.http.request(method, home + path, headers=self.xsrf(home), **more)

    def stream(self, **body: Any) -> Any:
        """An answer of the gateway, asked as any program may."""
        whole = {"model": self.model, "messages": QUESTION, "stream": True} | body
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.http.stream("POST", f"{GATEWAY}/chat/completions", json=whole, headers=headers)

    def chat(self, **body: Any) -> httpx.Response:
        """The same, read to its end."""
        with self.stream(**body) as answer:
            answer.read()
        return answer


@pytest.fixture(scope="module")
def site(client: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """What `OVERLAYS="postgres redis tls" make hub` starts. BUILD=0 takes the images as they are."""
    build = os.environ.get("BUILD") != "0"
    files = tmp_path_factory.mktemp("tls")
    files.chmod(0o755)
    certificate(files)
    os.chown(files / "tls.key", USER, USER)
    with pytest.MonkeyPatch.context() as clean:  # nothing of the person's own settings
        for name in list(os.environ):
            if name.startswith((*FOREIGN, "POSTGRES_")) or name.upper() in (*PROXIES, "PORT", "BUILD"):
                clean.delenv(name)
        clean.setenv("OVERLAYS", "postgres redis tls intranet")
        try:
            hub.compose_command()
            names = [images.build(name) if build else f"cellar-{name}:dev" for name in hub.images_of(["tls"])]
        except SystemExit as problem:
            _missing(f"something is missing: {problem}")
        port = unused_port()
        more = {
            "CELLAR_OVERLAYS_IMAGE": names.pop(),
            "CELLAR_PUBLIC_URL": f"https://localhost:{port}",
            "CELLAR_TLS_PORT": str(port),
            "CELLAR_HTTP_PORT": str(unused_port()),
            "CELLAR_TLS_LISTEN": "127.0.0.1",
            "CELLAR_TLS_FILES": str(files),
            "CELLAR_UPLOAD_SIZE": "2m",
        }
        with running(client, tmp_path_factory.mktemp("hub"), names, **more) as made:
            yield made


@pytest.fixture(scope="module")
def ada(site: Installation) -> Iterator[Browser]:
    site.add_user("ada")
    browser = Browser(site, "ada")
    with browser.http:
        browser.log_in()
        yield browser


@pytest.fixture
def long_answers(site: Installation, ada: Browser) -> Iterator[None]:
    site.policy(LONG)
    yield
    site.policy(SHORT)


def said(site: Installation, service: str, *command: str) -> str:
    """What a program prints in a service's container."""
    done = subprocess.run(["docker", "exec", site.service(service), *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def may_log_in(site: Installation) -> bool:
    newcomer = Browser(site, "ada")
    with newcomer.http:
        return newcomer.try_log_in().status_code == 200


def rows(site: Installation, question: str) -> str:
    return said(site, "postgres", "psql", "-At", "-c", question)


def kill(site: Installation, service: str) -> None:
    """kill -9, and nobody starts it again before `revive`."""
    site.compose("kill", "-s", "KILL", service)


def revive(site: Installation, service: str) -> None:
    site.compose("start", service)
    hub.wait_until_well(site.stack, service)


# --- HTTPS


def test_plain_http_sends_the_browser_to_https(site: Installation) -> None:
    plain = f"http://localhost:{site.more['CELLAR_HTTP_PORT']}/hub/login?next=lab"
    answer = httpx.get(plain)
    assert (answer.status_code, answer.headers["Location"]) == (
        301,
        f"{site.more['CELLAR_PUBLIC_URL']}/hub/login?next=lab",
    )


def test_a_log_in_without_the_xsrf_token_of_its_page_is_refused(site: Installation, ada: Browser) -> None:
    stranger = Browser(site, "ada")
    with stranger.http:
        stranger.http.get("/hub/login")
        assert stranger.post_log_in(password=site.passwords["ada"]).status_code == 403


def test_cookies_are_for_https_alone(ada: Browser) -> None:
    logged_in = [each for each in ada.http.cookies.jar if each.name.startswith("jupyterhub")]
    assert {each.name for each in logged_in} >= {"jupyterhub-hub-login", "jupyterhub-user-ada"}
    assert all(each.secure for each in logged_in)


def test_a_cell_runs_through_the_kernels_websocket(ada: Browser) -> None:
    assert ada.http.post("/user/ada/api/kernels").status_code == 403, "the XSRF header is missing"
    kernel = ada.ask("POST", "api/kernels").json()["id"]
    cookies = "; ".join(
        f"{each.name}={each.value}" for each in ada.http.cookies.jar if each.path in ("/", "/user/ada/")
    )
    url = f"{ada.origin}/user/ada/api/kernels/{kernel}/channels".replace("https", "wss")
    wire = websocket.create_connection(
        url, cookie=cookies, origin=ada.origin, sslopt={"context": ada.trust}, timeout=60
    )
    header = {
        "msg_id": secrets.token_hex(8),
        "msg_type": "execute_request",
        "session": "s",
        "username": "",
        "version": "5.3",
    }
    content = {
        "code": "print(6 * 7)",
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
    }
    wire.send(
        json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content})
    )
    while (message := json.loads(wire.recv()))["header"]["msg_type"] != "stream":
        pass
    wire.close()
    assert message["content"]["text"] == "42\n"


def test_an_upload_may_be_as_large_as_the_setting_says(ada: Browser) -> None:
    for megabytes, status in ((1, 201), (3, 413)):
        file = {"type": "file", "format": "text", "content": "x" * megabytes * MEGABYTE}
        assert ada.ask("PUT", f"api/contents/{megabytes}.txt", json=file).status_code == status


def test_an_answer_comes_in_pieces(ada: Browser) -> None:
    """nginx would hand on four or eight kilobytes at a time if it kept any back."""
    with ada.stream() as answer:
        sizes = [len(piece) for piece in answer.iter_raw()]
    assert answer.status_code == 200
    assert len(sizes) > sum(sizes) / 2000


# --- PostgreSQL


def test_the_hub_and_the_books_are_in_postgresql(site: Installation, ada: Browser) -> None:
    assert ada.chat().status_code == 200
    wait_until(lambda: rows(site, "select count(*) from cellar_audit_open") == "0", "the answer to be settled")
    assert int(rows(site, "select count(*) from cellar_audit where user_name = 'ada'")) >= 2
    assert (
        said(site, "postgres", "psql", "-At", "-d", "jupyterhub", "-c", "select name from users where name = 'ada'")
        == "ada"
    )
    for service in ("hub", "gateway"):
        files = said(site, service, "find", "/var/lib/cellar", "-name", "*.db", "-o", "-name", "*.sqlite")
        assert files == "", "and nowhere else"
    assert site.usage("ada") > 0


@pytest.mark.parametrize(("service", "database"), [("hub", "cellar"), ("gateway", "jupyterhub")])
def test_what_the_one_knows_of_the_database_opens_nothing_of_the_other(
    site: Installation, service: str, database: str
) -> None:
    found = json.loads(said(site, service, "python", "-c", CONNECT, database))
    assert found["own"] == "[(False,)]" and "no pg_hba.conf entry" in found["other"]


def test_an_answer_survives_a_database_that_is_killed_and_a_new_question_is_refused(
    site: Installation, ada: Browser, long_answers: None
) -> None:
    workspace = site.workspace("ada")
    with ThreadPoolExecutor(LOAD) as load, ada.stream(**FOREVER) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if "content" in line)
        asked = [load.submit(ask_until_refused, ada) for _ in range(LOAD)]
        wait_until(lambda: sum(bool(row.get("outcome")) for row in audit_of(site).values()) > LOAD, "a few answers")
        committed = {request: row for request, row in audit_of(site).items() if row.get("outcome")}
        kill(site, "postgres")
        refused = ada.chat()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "database_down"
        assert "choices" not in refused.text
        next(line for line in lines if "content" in line)
        answered = {request for each in asked for request in each.result(120)}
    assert ada.http.get("/user/ada/api/status").status_code == 200, "workspaces do not need it"
    token = {"Authorization": f"token {ada.token}"}
    assert ada.http.get("/hub/api/user", headers=token).status_code == 503, "it is no bad token"
    revive(site, "postgres")
    assert may_log_in(site), "at once: the hub does not stand on a connection that is gone"
    wait_until(lambda: ada.chat(max_tokens=5).status_code == 200, "answers again", 60)
    assert_nothing_is_left(site, "ada")
    assert_the_audit_is_whole(site)
    after = audit_of(site)
    assert {request: after[request] for request in committed} == committed
    assert answered and not [request for request in answered if not after[request].get("outcome")]
    assert site.workspace("ada") == workspace


def ask_until_refused(ada: Browser) -> list[str]:
    """The ids of the questions that were answered."""
    answered = []
    while (answer := ada.chat(max_tokens=3)).status_code == 200:
        answered.append(answer.headers["X-Request-Id"])
    return answered


# --- Redis


@pytest.fixture
def two_a_minute(site: Installation, ada: Browser) -> Iterator[None]:
    site.policy(SHORT + "requests_per_minute = 2\n")
    yield
    site.policy(SHORT)


def statuses(ada: Browser) -> list[int]:
    return [ada.chat(max_tokens=2).status_code for _ in range(4)]


def test_requests_per_minute_are_counted_in_redis_and_without_it_by_the_gateway(
    site: Installation, ada: Browser, two_a_minute: None
) -> None:
    assert statuses(ada)[-1] == 429
    assert "/ada/2/1/minute" in said(site, "redis", "redis-cli", "--scan")
    kill(site, "redis")
    alone = statuses(ada)
    assert (alone[0], alone[-1]) == (200, 429), "its own count begins anew"
    assert "Redis is away" in site.stack.run("logs", "--no-color", "gateway").stdout
    revive(site, "redis")
    wait_until(lambda: ada.chat(max_tokens=2) and said(site, "redis", "redis-cli", "--scan"), "Redis to be asked again")


# --- all of them


def test_a_workspace_reaches_neither_database_by_any_name_or_address(site: Installation, ada: Browser) -> None:
    places = [
        (host, port)
        for service, port in DATABASES.items()
        for host in (service, f"{site.name}_{service}_1", *addresses(site, site.service(service)).values())
    ]
    asked = json.dumps({"reach": places, "names": list(DATABASES), "home": "/home/user"})
    program = Path(inside.__file__).read_text()
    found = site.inside(site.workspace("ada"), program, asked)
    assert set(found["reach"]) <= {"silent", "no name"}, "a refusal would be an answer, too"
    assert not [where for where in found["names"] if isinstance(where, str)], "names that lead somewhere"
    assert len(places) == 3 * len(DATABASES), "each is on one network"
    near = site.inside(site.service("gateway"), program, asked)
    assert set(near["reach"]) == {"open"}, "so that silence above means closed"


@pytest.fixture(scope="module")
def canary(site: Installation, ada: Browser) -> str:
    """A word that was in questions and in answers, in a refusal and in an answer that nobody heard to its end."""
    word = f"Canary{secrets.token_hex(8)}"
    site.policy(LONG + "requests_per_minute = 1000\n")
    question = [{"role": "user", "content": f"What is {word}?"}]
    # the real model says exactly this, because a grammar lets it say nothing else
    answer = ada.chat(messages=question, max_tokens=60, grammar=f'root ::= "{word} it is"')
    said = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert word in "".join(c["delta"].get("content") or "" for each in said for c in each["choices"]), answer.text
    with ada.stream(messages=question, **FOREVER) as unheard:
        next(line for line in unheard.iter_lines() if "content" in line)
    assert ada.chat(messages=question, model=word).status_code == 404
    return word


def test_no_log_layer_or_volume_of_a_service_has_what_was_said(site: Installation, canary: str) -> None:
    containers = hub_side(site, *OVERLAYS)
    rows(site, "checkpoint")
    assert in_logs(site, canary, containers) == []
    assert in_layers(site, canary, containers) == []
    found, looked = in_volumes(site, canary, containers)
    assert found == []
    assert looked > 500, "PostgreSQL's files were among them"


def test_no_dump_of_a_database_has_what_was_said(site: Installation, canary: str) -> None:
    dumps = [said(site, "postgres", "pg_dumpall"), said(site, "redis", "sh", "-c", REDIS_DUMP)]
    assert all("ada" in each for each in dumps), "names are there"
    assert not [each for each in dumps if canary in each]


def test_no_metric_and_no_answer_of_the_hub_has_what_was_said(site: Installation, canary: str) -> None:
    assert in_words(site, canary) == []


def test_the_doctor_finds_everything_well(site: Installation, ada: Browser) -> None:
    said = "".join(site.compose("exec", "-T", each, "cellar-hub", "check") for each in ("hub", "gateway", "proxy"))
    assert said.count("Everything works together.") == 3
    for name in ("clock of the hub's database", "clock of the books", "Redis", "streaming through nginx"):
        assert f"ok    {name}: " in said
