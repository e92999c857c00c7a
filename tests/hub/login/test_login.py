"""Log-ins at a real JupyterHub, and what a real gateway's audit says of them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cellar_hub.audit import Event
from cellar_hub.commands.program import run
from cellar_hub.login.attempts import NAMES
from cellar_hub.login.entrance import UNTOLD
from cellar_hub.login.refusals import AWAY, CROWDED
from cellar_hub.login.throttle import PAIR
from cellar_hub.pages import in_language

from tests.hub.commands.site import PASSWORD, Site, said
from tests.hub.compose.nginx import is_here, serving
from tests.hub.test_proxy import proxy_before

pytestmark = pytest.mark.timeout(240)
WRONG = "Tr0ub4dor&3"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("hub"), PASSWORD_ROUNDS="12")  # a flood of them must find the hub at work
    found.add("ann")
    yield found
    found.end()


def log_in(site: Site, name: str, password: str, **headers: str) -> int:
    browser, status = site.log_in(name, password, **headers)
    browser.close()
    return status


def ask_for_token(site: Site, name: str, password: str, **headers: str) -> int:
    """By name and password, at the API."""
    body = {"auth": {"username": name, "password": password}}
    answer = httpx.post(f"{site.url}/hub/api/users/{name}/tokens", json=body, headers=headers, timeout=30)
    return answer.status_code


def logins(site: Site, client: str) -> list[Event]:
    found = [each for each in site.events() if each.detail.get("client") == client]
    return [each for each in found if each.action.startswith("user.login.")]


def until(site: Site, client: str, enough: Callable[[list[Event]], bool]) -> list[Event]:
    deadline = time.monotonic() + 30
    while not enough(found := logins(site, client)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def counted(events: list[Event]) -> int:
    return sum(int(each.detail["count"]) for each in events)


def holds(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_every_way_a_log_in_ends_is_in_the_audit(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("eve")
    assert site.command("users", "block", "eve").returncode == 0
    here = {"X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.99"}
    typed = "my secret password"
    tried = [("Ann", PASSWORD), ("ann", WRONG), (typed, "ann"), ("eve", PASSWORD), ("eve", WRONG)]
    assert [log_in(site, name, password, **here) for name, password in tried] == [302, 403, 403, 403, 403]
    found = until(site, "192.0.2.1", lambda events: len(events) == 5)
    told = [(each.actor, each.action, each.subject, each.detail.get("reason")) for each in found]
    unknown = told[2][2]
    assert unknown.startswith("unknown:")
    assert told == [
        ("ann", "user.login.succeeded", "ann", None),
        ("hub", "user.login.failed", "ann", "wrong password"),
        ("hub", "user.login.failed", unknown, "unknown name"),
        ("hub", "user.login.refused", "eve", "blocked"),
        ("hub", "user.login.failed", "eve", "wrong password"),
    ]
    assert [ask_for_token(site, "ann", password) for password in (PASSWORD, WRONG)] == [201, 403]
    by_api = until(site, "127.0.0.1", lambda events: len(events) == 2)
    assert [each.action for each in by_api] == ["user.login.succeeded", "user.login.failed"]
    assert run(["audit", "verify"], site.books) == 0, capsys.readouterr().out
    for secret in (typed, WRONG, PASSWORD):
        assert not holds(site.folder, secret), "neither the audit nor a log has what was typed"


@pytest.mark.parametrize("auth", [None, "x", {}, {"username": "ann"}, {"username": 5, "password": PASSWORD}, []])
def test_a_body_without_name_and_password_is_refused_plainly(site: Site, auth: object) -> None:
    answer = httpx.post(f"{site.url}/hub/api/users/ann/tokens", json={"auth": auth}, timeout=30)
    assert answer.status_code == 403


def test_a_name_that_no_database_takes_is_a_name_of_nobody(site: Site) -> None:
    before = counted(logins(site, "127.0.0.1"))
    for name, password in (("\ud800", PASSWORD), ("ann", "\ud800"), ("a\0b", PASSWORD)):
        body = f'{{"auth": {{"username": {ascii_json(name)}, "password": {ascii_json(password)}}}}}'
        answer = httpx.post(f"{site.url}/hub/api/users/ann/tokens", content=body, timeout=30)
        assert answer.status_code == 403
    until(site, "127.0.0.1", lambda events: counted(events) >= before + 2)  # of "ann" there is one in this minute


def ascii_json(text: str) -> str:
    return '"' + "".join(f"\\u{ord(each):04x}" for each in text) + '"'


def test_wrong_passwords_make_the_next_one_wait_longer_each_time_with_the_name_kept(site: Site) -> None:
    site.add("lee")
    here = {"X-Forwarded-For": "192.0.2.2"}
    tries, refused = site.until_refused("lee", **here)
    assert tries == PAIR.free + 2, "after a second, and after two"
    assert said(refused.text) == "Too many wrong passwords. Please try again in 4 seconds."
    assert 'value="lee"' in refused.text
    assert log_in(site, "lee", PASSWORD, **here) == 429, "the right one waits, too"
    found = until(site, "192.0.2.2", lambda events: len(events) == 2)
    assert [(each.action, each.detail["reason"]) for each in found] == [
        ("user.login.failed", "wrong password"),
        ("user.login.refused", "too many wrong passwords"),
    ]
    assert log_in(site, "lee", PASSWORD, **{"X-Forwarded-For": "192.0.2.20"}) == 302, "nobody else waits"
    site.pass_time(4)
    assert log_in(site, "lee", PASSWORD, **here) == 302, "what was told is kept"


def test_a_name_that_is_nobodys_waits_like_any_other(site: Site) -> None:
    tries, refused = site.until_refused("who", **{"X-Forwarded-For": "192.0.2.21"})
    assert tries == PAIR.free + 2 and said(refused.text).startswith("Too many wrong passwords.")


def test_a_refusal_looks_at_no_password_whosever_the_name_is(site: Site) -> None:
    for number, name in enumerate(("ann", "nobody-at-all")):
        here = {"X-Forwarded-For": f"192.0.2.{22 + 20 * number}"}
        site.until_refused(name, **here)
        before = site.work()
        assert log_in(site, name, WRONG, **here) == 429
        assert site.work() == before


def test_the_api_that_makes_tokens_is_throttled_alike(site: Site) -> None:
    site.add("max")
    here = {"X-Forwarded-For": "192.0.2.23"}
    assert [ask_for_token(site, "max", WRONG, **here) for _ in range(PAIR.free)] == [403] * PAIR.free
    tries, _ = site.until_refused("max", **here)
    assert tries <= 2, "counted together"
    assert ask_for_token(site, "max", PASSWORD, **here) == 403
    reasons = [each.detail["reason"] for each in until(site, "192.0.2.23", lambda events: len(events) == 2)]
    assert reasons == ["wrong password", "too many wrong passwords"]


def test_what_was_counted_survives_a_hub_that_is_killed(site: Site) -> None:
    site.add("zoe")
    here = {"X-Forwarded-For": "192.0.2.24"}
    site.until_refused("zoe", seconds=2, **here)
    site.process.kill()
    site.process.wait()
    site.start_hub()
    tries, _ = site.until_refused("zoe", **here)
    assert tries == 1, "without a memory there would have been more"
    assert log_in(site, "zoe", PASSWORD, **here) == 429
    assert site.command("users", "unblock", "zoe").returncode == 0
    assert log_in(site, "zoe", PASSWORD, **here) == 302, "an administrator lifts it"


def test_whoever_knows_a_name_does_not_lock_its_owner_out(site: Site) -> None:
    site.add("owner")
    home = {"X-Forwarded-For": "192.0.2.25"}
    assert log_in(site, "owner", PASSWORD, **home) == 302
    attackers = [{"X-Forwarded-For": f"192.0.3.{number}"} for number in range(1, 5)]

    def attack(where: dict[str, str]) -> list[int]:
        return [log_in(site, "owner", WRONG, **where) for _ in range(2 * PAIR.free)]

    with ThreadPoolExecutor(4) as pool:
        attacks = [pool.submit(attack, where) for where in attackers]
        assert log_in(site, "owner", PASSWORD, **home) == 302
        assert any(429 in each.result() for each in attacks)
    assert log_in(site, "owner", PASSWORD, **home) == 302
    browser, refused = site.answer_to("owner", PASSWORD, **{"X-Forwarded-For": "192.0.2.26"})
    browser.close()
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) <= 30


def type_in(browser: httpx.Client, name: str, password: str) -> int:
    """In a browser that may be logged in."""
    browser.get("/hub/logout")
    token = re.search(r'name="_xsrf" value="([^"]+)"', browser.get("/hub/login").text)
    assert token
    return browser.post("/hub/login", data={"username": name, "password": password, "_xsrf": token[1]}).status_code


def test_whoever_sits_behind_the_same_router_keeps_nobody_out_of_their_browser(site: Site) -> None:
    site.add("neighbour")
    site.add("newcomer")
    router = {"X-Forwarded-For": "192.0.2.40"}
    browser, answer = site.answer_to("neighbour", PASSWORD, **router)
    (given,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("cellar-browser=")]
    flags = {each.strip().lower() for each in given.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/hub/"} <= flags and "neighbour" not in given
    site.until_refused("neighbour", **router)
    assert log_in(site, "neighbour", PASSWORD, **router) == 429, "where they never were they wait"
    assert type_in(browser, "neighbour", PASSWORD) == 302
    while type_in(browser, "neighbour", WRONG) != 429:  # the test's time limit ends it
        pass
    assert type_in(browser, "newcomer", PASSWORD) == 302, "it is nothing to other names"
    browser.close()


def test_a_flood_is_refused_in_part_keeps_nobody_else_out_and_stays_small_in_the_audit(site: Site) -> None:
    many = 40
    limits = httpx.Limits(max_connections=many)
    flood = httpx.Client(base_url=site.url, headers={"X-Forwarded-For": "192.0.2.3"}, timeout=60, limits=limits)
    form = {"password": PASSWORD, "_xsrf": flood.get("/hub/login").cookies["_xsrf"]}

    def attack(number: int) -> httpx.Response:
        return flood.post("/hub/login", data=form | {"username": f"nobody{number}"})

    with contextlib.closing(flood), ThreadPoolExecutor(many) as pool:
        answers = [pool.submit(attack, number) for number in range(many)]
        until(site, "192.0.2.3", lambda events: any(each.action == "user.login.refused" for each in events))
        assert log_in(site, "ann", PASSWORD, **{"X-Forwarded-For": "192.0.2.4"}) == 302
        statuses = [answer.result().status_code for answer in answers]
        refused = next(answer.result() for answer in answers if answer.result().status_code == 503)
    assert set(statuses) == {403, 503} and said(refused.text).startswith(CROWDED.split("{")[0])
    assert 'value="nobody' in refused.text and refused.headers["Retry-After"]
    assert in_language(CROWDED, "ko")
    site.process.terminate()  # at its end the hub tells what it has counted
    site.process.wait()
    found = until(site, "192.0.2.3", lambda events: counted(events) == many)
    assert len(found) <= 2 * NAMES + 4
    site.start_hub()


def test_four_crowded_addresses_and_a_hundred_others_keep_nobody_out_of_where_they_work(site: Site) -> None:
    site.add("worker")
    work = {"X-Forwarded-For": "192.0.2.30"}
    assert log_in(site, "worker", PASSWORD, **work) == 302
    crowd = [f"192.0.4.{number % 4}" for number in range(60)] + [f"192.0.5.{number}" for number in range(100)]
    body = {"auth": {"username": "worker", "password": WRONG}}

    async def attack(client: httpx.AsyncClient, where: str) -> None:
        headers = {"X-Forwarded-For": where}
        assert (await client.post("/hub/api/users/worker/tokens", json=body, headers=headers)).status_code == 403

    async def all_at_once() -> float:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=site.url, timeout=60, limits=limits) as client:
            attacks = [asyncio.create_task(attack(client, where)) for where in crowd]
            await asyncio.wait(attacks, return_when=asyncio.FIRST_COMPLETED)
            begun = time.monotonic()
            right = {"auth": {"username": "worker", "password": PASSWORD}}
            made = await client.post("/hub/api/users/worker/tokens", json=right, headers=work)
            took = time.monotonic() - begun
            assert made.status_code == 201
            await asyncio.gather(*attacks)
            return took

    assert asyncio.run(all_at_once()) < 15, "not behind all of them"


def test_a_database_that_does_not_answer_is_said_with_the_name_kept(site: Site) -> None:
    here = {"X-Forwarded-For": "192.0.2.31"}
    holding = sqlite3.connect(site.folder / "hub.sqlite", isolation_level=None)
    holding.execute("begin exclusive")
    try:
        browser, refused = site.answer_to("ann", PASSWORD, **here)
    finally:
        holding.execute("rollback")
        holding.close()
    browser.close()
    assert refused.status_code == 503 and refused.headers["Retry-After"] == "60"
    assert said(refused.text) == AWAY.replace("{seconds}", "60") and 'value="ann"' in refused.text
    assert log_in(site, "ann", PASSWORD, **here) == 302
    assert site.until_events("192.0.2.31", 2)[0][2] == "the hub's database is away"


def test_without_the_gateway_people_log_in_and_the_audit_hears_of_it_even_from_the_next_hub(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.gateway.kill()
    here = {"X-Forwarded-For": "192.0.2.5"}
    before = time.time()
    assert log_in(site, "ann", PASSWORD, **here) == 302
    assert [log_in(site, name, WRONG, **here) for name in ("ann", "nobody")] == [403, 403]
    assert time.time() - before < 10, "nobody waits for the gateway"
    untold = site.folder / UNTOLD
    deadline = time.monotonic() + 20
    while not (untold.exists() and untold.read_text().count("192.0.2.5") == 3):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    after = time.time()
    assert untold.stat().st_mode & 0o777 == 0o600
    site.process.kill()
    site.process.wait()
    site.start_hub()
    site.gateway.start()
    found = until(site, "192.0.2.5", lambda events: counted(events) == 3)
    assert [each.action for each in found] == ["user.login.succeeded", "user.login.failed", "user.login.failed"]
    assert all(before < each.at < after for each in found), "when it was, not when it was told"
    assert len({each.detail["report"] for each in found}) == 3
    deadline = time.monotonic() + 20
    while untold.exists():
        assert time.monotonic() < deadline
    assert run(["audit", "verify"], site.books) == 0, capsys.readouterr().out


async def log_in_from(address: str, url: str, trust: ssl.SSLContext | bool = True) -> int:
    """As a client that claims to be somebody else."""
    claimed = {"X-Forwarded-For": "9.9.9.9, 8.8.8.8", "X-Real-IP": "9.9.9.9", "Forwarded": "for=9.9.9.9"}
    way = httpx.AsyncHTTPTransport(local_address=address, verify=trust)
    async with httpx.AsyncClient(base_url=url, transport=way, headers=claimed, timeout=30) as browser:
        token = (await browser.get("/hub/login")).cookies["_xsrf"]
        form = {"username": "ann", "password": WRONG, "_xsrf": token}
        return (await browser.post("/hub/login", data=form)).status_code


def test_the_audit_has_the_address_that_the_real_proxies_saw(site: Site, tmp_path: Path) -> None:
    port = int(site.url.rpartition(":")[2])

    async def through_the_proxy() -> None:
        async with proxy_before(port) as proxy:
            assert await log_in_from("127.0.0.6", f"http://127.0.0.1:{proxy}") == 403

    async def through_nginx_and_the_proxy() -> None:
        async with proxy_before(port) as proxy, serving(tmp_path, f"127.0.0.1:{proxy}") as (https, _):
            trust = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
            trust.check_hostname = False
            assert await log_in_from("127.0.0.7", f"https://127.0.0.1:{https}", trust) == 403

    asyncio.run(through_the_proxy())
    until(site, "127.0.0.6", lambda events: len(events) == 1)
    if is_here():
        site.process.terminate()
        site.process.wait()
        site.env["CELLAR_REVERSE_PROXIES"] = "1"
        site.start_hub()
        asyncio.run(through_nginx_and_the_proxy())
        until(site, "127.0.0.7", lambda events: len(events) == 1)
    assert not logins(site, "9.9.9.9") and not logins(site, "8.8.8.8")
