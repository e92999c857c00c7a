"""Groups of the hub in short, under <hub>/api/cellar/groups: names, and how many members each has.

JupyterHub's own list names every member of every group; with thousands of users it is long, and the hub serves nobody
while it makes it.
"""

from __future__ import annotations

import json

from jupyterhub.apihandlers import APIHandler
from jupyterhub.orm import Group, user_group_map
from jupyterhub.scopes import Scope
from sqlalchemy import func, select
from tornado.web import HTTPError


class GroupList(APIHandler):  # type: ignore[misc]  # it ships no types
    """For whoever has the scope list:groups, of all groups."""

    def get(self) -> None:
        if self.current_user is None or self.parsed_scopes.get("list:groups") is not Scope.ALL:
            raise HTTPError(403, "Groups are for whoever has the scope list:groups")
        members = func.count(user_group_map.c.user_id)
        query = select(Group.name, members).outerjoin(user_group_map, user_group_map.c.group_id == Group.id)
        found = self.db.execute(query.group_by(Group.id, Group.name).order_by(Group.name))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps([{"name": name, "members": count} for name, count in found]))


HANDLERS = [(r"/api/cellar/groups", GroupList)]
