"""`up`: the current release runs, its images under the names that the stack asks for, with a first administrator."""

from __future__ import annotations

import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

from cellar_offline.release import Release, Unusable, write
from cellar_offline.site import Site

PATIENCE = 300.0  # seconds until the hub answers; it first proves that workspaces are kept apart
AWAITED = ("gateway", "console", "tls")
"""Services beside the hub that people need. A model server reads its weights for minutes: that is not waited for."""


def up(site: Site, release: Release, overlays: Sequence[str] | None, say: Callable[[str], None]) -> str:
    """The address at which the hub answers. Unusable, EngineError: workspaces that run go on, and until the stack is
    started everything does."""
    chosen = site.choose_overlays(release, overlays)
    site.prepare(release)
    base = address(site.settings())
    site.require_images(release, chosen)
    site.switch(release, chosen)
    site.tag_images(release)
    say("starting the stack")
    try:
        site.start()
        wait_until_ready(site, base, say)
        make_first_admin(site, say)
    except Unusable as problem:
        raise Unusable(f"{release.manifest.title} did not start: {problem}\n{_way_back(site, release)}") from None
    return base


def _way_back(site: Site, release: Release) -> str:
    words = "Workspaces that run go on. Mend what it says, and `up` again"
    before = site.root.find(release.before()) if release.before() else None
    return f"{words}, or go back to {before.manifest.title}: `rollback`, then `up`." if before else f"{words}."


def address(settings: dict[str, str]) -> str:
    """Where the proxy answers on this machine; Unusable for what is no port."""
    port = settings.get("CELLAR_PORT") or "8000"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise Unusable(f"CELLAR_PORT={port} is not a port number.")
    listen = settings.get("CELLAR_LISTEN") or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(listen, listen)
    return f"http://{host}:{port}{settings.get('CELLAR_BASE_PATH') or '/'}"


def answers(url: str) -> bool:
    """Whether a server answers with a page; asked directly, whatever proxy the environment names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait_until_ready(site: Site, base: str, say: Callable[[str], None]) -> None:
    """Until the hub answers, and the services that people need beside it are well. Unusable, with the last words of who
    ends again and again, or takes too long; EngineError."""
    began = time.monotonic()
    told = False
    restarts = {each.id: each.restarts for each in site.running().values()}
    while True:
        now = site.running()
        late = [service for service in AWAITED if service in now and not now[service].is_well]
        if answers(f"{base}hub/login") and not late:
            return
        for service, each in now.items():
            if service in (*AWAITED, "hub", "proxy") and each.restarts - restarts.get(each.id, 0) > 2:
                raise Unusable(f"{service} ends again and again: {site.log(service)}")
        if time.monotonic() - began > PATIENCE:
            waited = f"{', '.join(late) or 'The hub'} did not answer within {PATIENCE:.0f} s"
            raise Unusable(f"{waited}: {site.log(*late, 'hub', 'socketfilter', 'proxy')}")
        if not told and time.monotonic() - began > 20:
            say("waiting for the hub: it proves first that a workspace cannot reach what it must not")
            told = True
        time.sleep(0.5)


def make_first_admin(site: Site, say: Callable[[str], None]) -> None:
    """With a password that only the owner of this machine can read. Unusable."""
    settings = site.settings()
    if (settings.get("CELLAR_LOGIN") or "local") != "local":
        return
    name = (settings.get("CELLAR_ADMINS") or "admin").replace(",", " ").split()[0]
    known = site.run("exec", "-T", "hub", "cellar-hub", "users", "list", "--names")
    if known.returncode != 0:
        raise Unusable(f"The list of users could not be read: {(known.stderr or known.stdout).strip()[-1000:]}")
    path = site.compose / "admin-password"
    if name not in known.stdout.split():
        password = secrets.token_urlsafe(12) + "\n"
        write(path, password.encode(), 0o600)
        words = ("exec", "-T", "-e", "CELLAR_OPERATOR=cellar-offline up", "hub", "cellar-hub", "users", "add", name)
        done = site.run(*words, "--admin", "--password-stdin", stdin=password)
        if done.returncode != 0:
            raise Unusable(f"The first administrator could not be made: {(done.stderr or done.stdout).strip()[-1000:]}")
        say(f"Log in as {name}; the password is in {path}.")
