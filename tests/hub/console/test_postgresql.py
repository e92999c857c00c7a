"""The console on PostgreSQL: sums as they are there, and a database that goes and comes back under it."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

import pytest
from cellar_hub.store import Store
from cellar_hub.store.tables import usage

from tests.hub import postgres
from tests.hub.console.site import ConsoleSite, apart
from tests.hub.console.test_pages import based_on_of, page, until
from tests.hub.jupyter import proxy_command

pytestmark = pytest.mark.timeout(240)
PAGES = ("overview", "users", "users/ann", "usage", "usage?by=day", "usage?by=model", "audit", "audit?user=ann", "me")


def test_pages_are_the_same_there_and_outlive_a_database_that_goes_away_or_is_restored(tmp_path: Path) -> None:
    if postgres.find_binaries() is None:
        pytest.skip(postgres.MISSING)
    if not proxy_command():
        pytest.skip("configurable-http-proxy is missing, and there is no npm to install it")
    with postgres.running("fsync=off") as cluster, cluster.database() as url:
        site = ConsoleSite(tmp_path, url)
        try:
            spend(url, 1_234_567)
            with contextlib.closing(site.browser("admin")) as admin:
                for path in PAGES:
                    assert "<h1" in page(admin, path)
                assert "1,234,567" in page(admin, "usage") and "1,234,567" in page(admin, "users/ann")
                seen = based_on_of(page(admin, "policy/default"))
                cluster.stop()
                for path in ("overview", "usage", "audit"):
                    said = page(admin, path, 503)
                    assert "database does not answer" in said
                policy = site.policy.read_text()
                form = {"action": "rules", "based_on": seen, "max_tokens": "77"}
                refused = site.form(admin, "policy/default", **form)
                assert refused.status_code == 503 and site.policy.read_text() == policy, "nothing is done unseen"
                cluster.start()
                until(lambda: admin.get("/services/console/usage").status_code == 200, "the database to be back")
                assert "Saved." in site.form(admin, "policy/default", **form).text
                with postgres.restored(url):
                    assert "database does not answer" in page(admin, "usage", 503)
                    assert "database does not answer" in site.form(admin, "groups", "me", name="unseen").text
                assert "1,234,567" in page(admin, "usage") and "unseen" not in page(admin, "groups")
                assert "The group seen is there now." in site.form(admin, "groups", name="seen").text
                assert "seen" in page(admin, "audit?kind=events&subject=seen")
        finally:
            site.end()


def spend(url: str, tokens: int) -> None:
    row = {"user_name": "ann", "day": datetime.datetime.now(datetime.UTC).date(), "model": "coder", "prompt": tokens}
    counted = {"completion": 0, "cached": 0, "requests": 1, "estimated": 0}

    async def write() -> None:
        store = Store.open(url)
        await store.write(lambda tx: tx.execute(usage.insert(), row | counted))
        await store.close()

    apart(write())
