"""What must not be there when nothing runs: things without an owner, and books that are not closed."""

from __future__ import annotations

import json
import re
from typing import Any

from cellar_hub.spawner import names

from tests.docker.site.installation import Installation
from tests.ui.lab import wait_until

ROUTES = """
import http.client, json, os, socket
class Proxy(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/cellar/proxy.sock")
asking = Proxy("proxy")
asking.request("GET", "/api/routes", headers={"Authorization": "token " + os.environ["CONFIGPROXY_AUTH_TOKEN"]})
print(json.dumps(sorted(json.loads(asking.getresponse().read()))))
"""
BOOKS = """
import json, os
from sqlalchemy import func, select
from cellar_hub.commands.books import opened, settings_of
from cellar_hub.store.tables import audit_open, reservation
with opened(settings_of(os.environ)) as store, store.reading() as conn:
    counts = [select(func.count()).select_from(table) for table in (reservation, audit_open)]
    print(json.dumps([conn.execute(count).scalar() for count in counts]))
"""


def assert_nothing_is_left(site: Installation, *users: str, seconds: float = 60) -> None:
    """Only these users have something, and all of their requests have ended. What mends itself has time to do so."""
    found: list[str] = []

    def is_clean() -> bool:
        found[:] = [*_of_docker(site, set(users)), *_of_the_books(site)]
        return not found

    try:
        wait_until(is_clean, "nothing to be left over", timeout=seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {found}") from None


def assert_the_audit_is_whole(site: Installation) -> None:
    said = site.command("audit", "verify")
    assert "The audit is whole." in said, said
    assert re.search(r"gateway-1: \d+ rows, 0 sealed, 0 without an end", said), said


def audit_of(site: Installation) -> dict[str, dict[str, Any]]:
    """Every request in the audit, by its id."""
    rows = [json.loads(line) for line in site.command("audit", "export", "--format", "jsonl").splitlines()]
    return {row["request_id"]: row for row in rows if row.get("request_id")}


def _of_docker(site: Installation, users: set[str]) -> list[str]:
    label = [f"{names.SITE}={site.name}", names.KIND]
    containers = site.client.containers(all=True, filters={"label": label})
    networks = {each["Name"] for each in site.client.networks(filters={"label": label})}
    own = {f"{site.name}-ws-{user}" for user in users}
    found = [f"container {each['Names']}" for each in containers if each["Labels"][names.USER] not in users]
    found += [f"network {name}" for name in networks - own]
    found += [f"no network {name}" for name in own - networks]
    services = {site.service(name) for name in ("hub", "proxy", "gateway")}
    for name in networks & own:
        on = set(site.client.inspect_network(name)["Containers"])
        if len(on) != 4 or not services < on:
            found.append(f"on {name} are {len(on)}, of {len(services & on)} services")
    routes = set(site.inside(site.service("hub"), ROUTES))
    wanted = {"/", "/services/cellar", "/services/console", *(f"/user/{user}" for user in users)}
    return [*found, *(f"route {each}" for each in routes ^ wanted)]


def _of_the_books(site: Installation) -> list[str]:
    held, unclosed = site.inside(site.service("gateway"), BOOKS)
    counted = {"reservations": held, "audit records without an end": unclosed}
    return [f"{number} {what}" for what, number in counted.items() if number]
