"""What the console's pages need to know of this hub's settings, under <hub>/api/cellar/facts: what an administrator may
choose, and what they cannot change there. Read-only."""

from __future__ import annotations

import json

from jupyterhub.apihandlers import APIHandler
from jupyterhub.scopes import Scope
from tornado.web import HTTPError

from cellar_hub.spawner.profiles import watched_profiles

FACTS = "custom:cellar:facts"
"""The scope. Nobody has it but the console itself: no role of JupyterHub's own does, not even an administrator's."""
WATCHED = "cellar_profiles"


class FactsHandler(APIHandler):  # type: ignore[misc]  # it ships no types
    def get(self) -> None:
        if self.current_user is None or self.parsed_scopes.get(FACTS) is not Scope.ALL:
            raise HTTPError(403, "%s", f"Facts are for whoever has the scope {FACTS}")
        login = self.authenticator
        if WATCHED not in self.settings:
            self.settings[WATCHED] = watched_profiles(login.hub_settings)
        said = {
            "login": login.kind,
            "managed_groups": sorted(login.hub_settings.hub_groups) if login.manage_groups else None,
            "profiles": [
                {
                    "name": each.name,
                    "title": each.title,
                    "size": each.size,
                    "groups": None if each.groups is None else sorted(each.groups),
                }
                for each in self.settings[WATCHED]()
            ],
        }
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(said))


HANDLERS = [(r"/api/cellar/facts", FactsHandler)]
