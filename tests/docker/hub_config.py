"""The configuration of tests' hubs: ours, with an administrator's token and a proxy that keeps its routes in a file."""

import json
import os
from pathlib import Path

from cellar_hub.configure import configure
from cellar_hub.settings import HubSettings
from jupyterhub.proxy import Proxy

ROUTES = Path("/data/routes.json")


class NoProxy(Proxy):
    """A file: one that is emptied is a proxy that was made again."""

    should_start = False

    @property
    def routes(self) -> dict:
        return json.loads(ROUTES.read_text()) if ROUTES.exists() else {}

    async def add_route(self, routespec, target, data):
        route = {"routespec": routespec, "target": target, "data": data}
        ROUTES.write_text(json.dumps(self.routes | {routespec: route}))

    async def delete_route(self, routespec):
        ROUTES.write_text(json.dumps({key: value for key, value in self.routes.items() if key != routespec}))

    async def get_all_routes(self):
        return self.routes


c = get_config()  # noqa: F821
configure(c, HubSettings.from_env(os.environ))
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.services.append({"name": "test", "api_token": os.environ["TEST_TOKEN"]})
c.JupyterHub.load_roles.append(
    {
        "name": "test",
        "scopes": ["admin:users", "admin:servers", "admin:groups", "proxy", "users:activity", "read:hub", "tokens"],
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
