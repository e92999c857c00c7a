"""The configuration of tests' hubs: ours, with an administrator's token and a proxy that keeps its routes in memory."""

import os
from typing import ClassVar

from cellar_hub.configure import configure
from cellar_hub.settings import HubSettings
from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    routes: ClassVar[dict] = {}
    should_start = False

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes


c = get_config()  # noqa: F821
configure(c, HubSettings.from_env(os.environ))
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.services.append({"name": "test", "api_token": os.environ["TEST_TOKEN"]})
c.JupyterHub.load_roles.append(
    {
        "name": "test",
        "scopes": ["admin:users", "admin:servers", "admin:groups", "read:hub", "tokens"],
        "services": ["test"],
    }
)
c.Spawner.environment = {"STAND_IN": os.environ.get("STAND_IN", "")}
c.Spawner.poll_interval = 2
c.Spawner.http_timeout = 5
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}  # the API answers at once, and the progress says the rest
if os.environ.get("TEST_PASSWORD"):  # browsers log in with it, under any name
    c.JupyterHub.authenticator_class = "dummy"
    c.DummyAuthenticator.password = os.environ["TEST_PASSWORD"]
    c.Authenticator.allow_all = True
    c.Authenticator.auth_refresh_age = 0
