"""What a site looks like after some weeks: people, groups, their use, and a policy with something in it."""

from __future__ import annotations

import datetime
import random

from cellar_hub.store import Store
from cellar_hub.store.tables import usage

from tests.hub.console.site import ConsoleSite, apart

PEOPLE = ("lee", "park", "kim.minsu", "o.neil", "a-very-long-user-name-that-does-not-end@example.org")
MODELS = ("coder-large", "coder-small")
LONG_GROUP = "a-group-with-the-whole-long-name-of-a-department"
DAYS = 40


def seed(site: ConsoleSite) -> None:
    for name in PEOPLE:
        site.add(name)
    site.browser("lee").close()
    today = datetime.datetime.now(datetime.UTC).date()
    pick = random.Random(1)
    rows = []
    for back in range(DAYS):
        for name in ("ann", "admin", *PEOPLE):
            tokens = 900_000 if (name, back) == ("lee", 1) else pick.randrange(1_000, 400_000)
            row = {"user_name": name, "day": today - datetime.timedelta(days=back), "model": pick.choice(MODELS)}
            more = {"prompt": tokens, "completion": tokens // 5, "cached": tokens // 2, "requests": tokens // 3000 + 1}
            rows.append(row | more | {"estimated": 0})

    async def write() -> None:
        store = Store.open(f"sqlite:///{site.books['CELLAR_DATA']}/cellar.db")
        await store.write(lambda tx: tx.execute(usage.insert(), rows))
        await store.close()

    apart(write())
    admin = site.browser("admin")
    for group in ("research", "teaching", LONG_GROUP):
        site.form(admin, "groups", name=group)
    site.form(admin, "groups/research", action="join", users="ann lee")
    admin.close()
