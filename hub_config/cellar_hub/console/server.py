"""The console's process: routes, and a server that ends when it is told to."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from cellar.settings import SettingsError
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.routing import Matcher, Rule
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler

from cellar_hub.backup.staging import check_whole
from cellar_hub.logs import configure_logs
from cellar_hub.settings import ConsoleSettings
from cellar_hub.store import StoreDown

from . import CONSOLE
from .announcements import AnnouncementsPage
from .audit import AuditExport, AuditPage, AuditVerify
from .desk import Desk
from .destinations import DestinationsPage
from .groups import GroupPage, GroupsPage
from .hub import HubSays
from .me import LanguagePage, MePage
from .models import ModelsPage
from .overview import LiveNumbers, OverviewPage, StartPage
from .page import BELIEVED, FOLDER, Missing, Page, TooLarge, cookie_secret, make_environment, static_version
from .policy import DefaultPage, FilePage, RevisionPage
from .usage import UsageExport, UsagePage
from .users import UserPage, UsersPage

MAX_BODY = 5 * 1024 * 1024
"""Bytes of a form: a policy file is the largest."""
VERSION = version("jupyter-cellar")
SERVICE = f"services/{CONSOLE}/"

log = logging.getLogger("cellar_hub.console")


class Oversized(Matcher):
    """Requests whose body is larger than a form may be, wherever they go."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        length = request.headers.get("Content-Length", "")
        return {} if length.isascii() and length.isdecimal() and int(length[:20]) > MAX_BODY else None


class Callback(HubOAuthCallbackHandler, Page):  # type: ignore[misc]  # jupyterhub ships no types
    """Where the hub sends a browser back to after the log-in."""

    async def prepare(self) -> None:
        """Whoever is logged in already goes on, though this log-in was begun in another window."""
        with suppress(HTTPError, HubSays):
            self._who = await self._identified()

    def write_error(self, status_code: int, **more: Any) -> None:
        """JupyterHub's words are for programs, and what the address says is anybody's."""
        if self.get_argument("error", ""):
            text = self.words("The hub has not let you in.")
        elif status_code < 500:
            text = self.words("This log-in was not begun in this browser, or too long ago.")
        else:
            status_code, text = 503, self.words("The hub could not finish the log-in.")
        self.set_status(status_code)
        self.show("error.html", status=status_code, text=text, typed=(), again=True)


class Alive(RequestHandler):
    """For the container's health check: 200 while this process answers and its books do."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def get(self) -> None:
        desk: Desk = self.settings["desk"]
        self.set_status(200 if desk.store.down is None else 503)
        self.finish({"ok": desk.store.down is None, "version": VERSION})


class Static(StaticFileHandler):
    """Style, script and mark; nothing of them is secret."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def set_extra_headers(self, path: str) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")


def make_auth(settings: ConsoleSettings) -> HubOAuth:
    base = settings.base_path
    return HubOAuth(
        api_token=settings.token,
        api_url=settings.hub_api_url,
        hub_host=settings.subdomain_host,
        hub_prefix=base + "hub/",
        base_url=base + SERVICE,
        oauth_client_id=f"service-{CONSOLE}",
        access_scopes={f"access:services!service={CONSOLE}"},
        cache_max_age=BELIEVED,
    )


def make_app(desk: Desk) -> Application:
    settings = desk.settings
    base = settings.base_path + SERVICE
    routes: list[Any] = [
        ("", StartPage),
        ("overview", OverviewPage),
        ("overview/live", LiveNumbers),
        ("users", UsersPage),
        ("users/([^/]+)", UserPage),
        ("groups", GroupsPage),
        ("policy/default", DefaultPage),
        ("policy/destinations", DestinationsPage),
        ("groups/([^/]+)", GroupPage),
        ("policy", FilePage),
        ("policy/([0-9a-f]+)", RevisionPage),
        ("announcements", AnnouncementsPage),
        ("usage", UsagePage),
        ("usage/export", UsageExport),
        ("audit", AuditPage),
        ("audit/export", AuditExport),
        ("audit/verify", AuditVerify),
        ("models", ModelsPage),
        ("me", MePage),
        ("language", LanguagePage),
        ("oauth_callback", Callback),
        ("alive", Alive),
    ]
    return Application(
        [
            Rule(Oversized(), TooLarge),
            *((base + path, handler) for path, handler in routes),
            (base + "static/(.*)", Static, {"path": FOLDER / "static"}),
            (".*", Missing),
        ],
        desk=desk,
        hub_auth=make_auth(settings),
        base=base,
        hub_base=settings.subdomain_host + settings.base_path + "hub/",
        environment=make_environment(),
        static_version=static_version(),
        cookie_secret=cookie_secret(settings.token),
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Strict"},
        log_function=_log_request,
    )


def _log_request(handler: Any) -> None:
    """Without the query, in which a name or a number of the audit may stand."""
    status = handler.get_status()
    level = logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.DEBUG
    took = round(1000 * handler.request.request_time())
    log.log(level, "%s %s", handler.request.method, handler.request.path[:200], extra={"status": status, "ms": took})


async def serve(desk: Desk, listen: tuple[str, int], stop: asyncio.Event) -> None:
    """Until `stop`."""
    await desk.start()
    server = HTTPServer(make_app(desk), max_body_size=MAX_BODY, max_buffer_size=2 * MAX_BODY)
    sockets = bind_sockets(listen[1], listen[0])
    server.add_sockets(sockets)
    address, port = sockets[0].getsockname()[:2]
    print(f"cellar console ready on {address}:{port}", flush=True)  # noqa: T201 - whoever starts it waits for it
    try:
        await stop.wait()
    finally:
        server.stop()
        await server.close_all_connections()
        await desk.close()


def main(env: Mapping[str, str]) -> int:
    """The exit status: 2 for a wrong setting, 1 for a database or port that is not there."""
    try:
        settings = ConsoleSettings.from_env(env)
        check_whole(settings.data)
        configure_logs(settings.log_level)
        logging.getLogger("tornado.application").setLevel(
            logging.ERROR
        )  # below it stand sessions, and each plain request
        desk = Desk.open(settings, env)
    except SettingsError as problem:
        print(f"cellar console: {problem}", file=sys.stderr)  # noqa: T201
        return 2
    except StoreDown as problem:
        print(f"cellar console: {problem}", file=sys.stderr)  # noqa: T201
        return 1

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(desk, settings.listen, stop)

    try:
        asyncio.run(run())
    except (StoreDown, OSError) as problem:
        print(f"cellar console: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
