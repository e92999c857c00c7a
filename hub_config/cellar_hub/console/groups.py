"""Groups: who is in them, and what their members may."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from tornado.web import HTTPError

from cellar_hub.policyedit import RemoveTable, change

from .facts import Facts
from .hub import GROUPS, LONGEST_NAME, HubSays, group_path
from .policy import NOT_BY_HAND, PolicyPage
from .rules import RulesForm, said

MEMBERS = 200
"""Of a group that are shown at once."""
LONGEST_LIST = 5000
"""Characters of the names of people who are added together."""


class GroupsPage(PolicyPage):
    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        """A new group."""
        name = self.field("name", LONGEST_NAME).strip()
        if self.managed_by(await self.desk.facts.now()):
            self.error = self.words(NOT_BY_HAND)
        elif not name or not name.isprintable():
            self.error = self.words("A group needs a name.")
        else:
            try:
                async with self.desk.watching(self.name, "group.add", name):
                    await self.ask_hub("POST", group_path(name))
            except HubSays as says:
                self.error = self.refusal(says)
            else:
                return self.done(group_path(name)[1:], "The group {name} is there now.", name=name)
        self.set_status(409)
        return await self._show(name)

    async def again(self, *path: str) -> None:
        await self._show(self.field("name", LONGEST_NAME))

    async def _show(self, typed: str = "") -> None:
        groups = await self.ask_hub("GET", GROUPS)
        facts = await self.desk.facts.now()
        managed = (facts.managed_groups if facts else None) or ()
        policy = self.desk.policy_file.current()
        members = {each["name"]: each["members"] for each in groups}
        rows = [
            {
                "name": name,
                "members": members.get(name),
                "has_rules": name in policy.groups,
                "allowed": policy.for_("", [name]),
            }
            for name in sorted({*members, *managed, *policy.groups})
        ]
        self.show(
            "groups.html",
            rows=rows,
            persons=sorted(policy.users),
            typed=typed,
            managed=managed,
            managed_by=self.managed_by(facts),
            locked=await self.locked(),
        )


class GroupPage(PolicyPage):
    async def get(self, name: str) -> None:
        await self._show(name)

    async def post(self, name: str) -> None:
        action = self.field("action")
        facts = await self.desk.facts.now()
        if self.managed_by(facts) and (action in ("join", "leave") or (action == "remove" and is_managed(facts, name))):
            self.error = self.words(NOT_BY_HAND)
            self.set_status(409)
            return await self._show(name)
        try:
            if action == "rules":
                saved, form = await self.save_rules(f"groups.{name}", self.field("based_on"))
                if not saved:
                    return await self._show(name, form)
                return self.done(group_path(name)[1:], "Saved. It counts within seconds.")
            if action == "join":
                return await self._join(name)
            if action == "leave":
                who = self.field("user")
                async with self.desk.watching(self.name, "group.leave", who, {"group": name}):
                    await self.ask_hub("DELETE", group_path(name, "users"), {"users": [who]})
                return self.done(group_path(name)[1:], "{name} is in the group no longer.", name=who)
            if action == "remove":
                return await self._remove(name)
        except HubSays as says:
            self.error = self.refusal(says)
            self.set_status(409)
            return await self._show(name)
        raise HTTPError(400, "There is no such action.")

    async def again(self, *path: str) -> None:
        await self._show(path[0], self.form_sent() if self.field("action") == "rules" else None)

    async def _join(self, name: str) -> None:
        users = list(dict.fromkeys(self.field("users", LONGEST_LIST).replace(",", " ").split()))
        async with AsyncExitStack() as deeds:
            for user in users:
                await deeds.enter_async_context(self.desk.watching(self.name, "group.join", user, {"group": name}))
            await self.ask_hub("POST", group_path(name, "users"), {"users": users})
        self.done(group_path(name)[1:], "Added to the group: {n}", n=len(users))

    async def _remove(self, name: str) -> None:
        """The group at the hub, and its table of the policy: one that stayed would count again for a new one."""
        now = await self.revision()
        async with self.desk.watching(self.name, "group.remove", name):
            if now is not None and not await self.locked():
                wanted = RemoveTable(table=f"groups.{name}")
                text = change(now.text, wanted)
                if text != now.text and not await self.save(text, now.id, f"groups.{name}", said([wanted])):
                    return await self._show(name)
            try:
                await self.ask_hub("DELETE", group_path(name))
            except HubSays as says:
                if says.status != 404:
                    raise
        if name in self.desk.policy_file.current().groups:
            return self.done("groups", "The group {name} is gone; its rules stay in the policy file.", name=name)
        return self.done("groups", "The group {name} is gone.", name=name)

    async def _show(self, name: str, form: RulesForm | None = None) -> None:
        try:
            group: dict[str, Any] | None = await self.ask_hub("GET", group_path(name))
        except HubSays as says:
            if says.status != 404:
                raise
            group = None
        facts = await self.desk.facts.now()
        if group is None and name not in self.desk.policy_file.current().groups and not is_managed(facts, name):
            raise HTTPError(404)
        members = sorted(group.get("users", ())) if group else []
        part = self.field("q", 64)
        found = [each for each in members if part in each]
        rules = await self.rules(f"groups.{name}", self.desk.policy_file.current().for_("", ()), form)
        self.show(
            "group.html",
            name=name,
            is_there=group is not None,
            members=found[:MEMBERS],
            more=max(0, len(found) - MEMBERS),
            total=len(members),
            part=part,
            managed_by=self.managed_by(facts),
            is_managed=is_managed(facts, name),
            people=self.field("users", LONGEST_LIST),
            **rules,
        )


def is_managed(facts: Facts | None, name: str) -> bool:
    """Whether the log-in puts people into that group."""
    return facts is not None and name in (facts.managed_groups or ())
