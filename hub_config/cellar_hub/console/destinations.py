"""Destinations in the building: which there are, where they lead, and whose workspaces reach them."""

from __future__ import annotations

from cellar.settings import SettingsError
from tornado.web import HTTPError

from cellar_hub.policyedit import PutDestination, RemoveDestination, change

from .policy import NO_FILE, PolicyPage
from .rules import said


class DestinationsPage(PolicyPage):
    async def get(self) -> None:
        await self._show({"name": "", "port": "", "to": ""})

    async def again(self, *path: str) -> None:
        await self._show(self._sent())

    def _sent(self) -> dict[str, str]:
        return {name: self.field(name).strip() for name in ("name", "port", "to")}

    async def post(self) -> None:
        typed = self._sent()
        if self.field("action") == "remove":
            wanted: PutDestination | RemoveDestination = RemoveDestination(key=self.field("key"))
        elif not (typed["port"].isascii() and typed["port"].isdecimal() and len(typed["port"]) <= 5):
            self.error = self.words("{field} must be a whole number.", field=self.words("Port"))
            self.set_status(400)
            return await self._show(typed)
        else:
            wanted = PutDestination(name=typed["name"].lower(), port=int(typed["port"]), to=typed["to"])
        try:
            now = await self.revision()
            if now is None:
                raise HTTPError(409, NO_FILE)
            text = change(now.text, wanted)
        except SettingsError as problem:
            self.error = self.words("Not saved: {problem}", problem=self.said_of(problem))
            self.set_status(409)
            return await self._show(typed)
        if not await self.save(text, self.field("based_on"), "destinations", said([wanted])):
            return await self._show(typed)
        return self.done("policy/destinations", "Saved. It counts within seconds.")

    async def _show(self, typed: dict[str, str]) -> None:
        revision = await self.shown_revision()
        policy = self.desk.policy_file.current()
        self.show(
            "destinations.html",
            rows=[(each, policy.naming(each.key)) for each in policy.destinations],
            typed=typed,
            based_on=self.based_on(revision),
            locked=await self.locked(),
        )
