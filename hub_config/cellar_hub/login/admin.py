"""The address of JupyterHub's own page for administrators leads to the console, which has what it does, and more.

That page's form of a user would leave them without a name (`cellar_hub.renaming` keeps it from that), and what is done
by it is in the audit only afterwards. Where there is no console, it is what there is.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.pages import AdminHandler


class AdminPage(AdminHandler):  # type: ignore[misc]  # it ships no types
    """Also of the paths below it, which are of the page's own."""

    async def prepare(self) -> None:
        """Whoever they are: the console asks who they are, and says what they may see."""
        where = console_of(self)
        if where and self.request.method in ("GET", "HEAD"):
            self.redirect(where)
        else:
            await super().prepare()


def console_of(handler: BaseHandler) -> str:
    """Its address, as the hub's pages have it; empty where there is none."""
    found: Any = handler.settings.get("template_vars", {}).get("cellar_console", "")
    return str(found)


HANDLERS = [(r"/admin(?:/.*)?", AdminPage)]
