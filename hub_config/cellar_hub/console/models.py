"""The model servers: how each is, what it serves, and how full it is."""

from __future__ import annotations

from .page import Page


class ModelsPage(Page):
    nav = "models"

    async def get(self) -> None:
        newest = await self.desk.live.now()
        template = "models_live.html" if self.field("part") == "live" else "models.html"
        self.show(template, sample=newest, state=newest.state)
