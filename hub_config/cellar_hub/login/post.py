"""Log-ins on their way to the gateway's audit, for as long as the hub lives.

No log-in waits for it. What the gateway does not take is tried again, and lies in a file meanwhile: a hub that is
killed, or made anew, tells it the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPError

from cellar_hub.resolver import near_url

from .attempts import SUCCEEDED, Attempts, Kept, Kind, Outcome, Told

EVERY = 1.0  # seconds between two looks
LAST = 3.0  # seconds that the hub's end waits for the gateway
LARGEST = 2**24  # bytes of the file: more than all that may be counted and kept, with the longest names
NEVER = (400, 413)  # what the gateway says of an event that it takes at no time


class Post:
    """`url`: the gateway's second port; it is not among the workspaces' addresses (`pool`). `file`: where what it has
    not taken is kept."""

    def __init__(self, url: str, token: str, pool: IPv4Network, file: Path, log: logging.Logger) -> None:
        self._url, self._pool = url, pool
        self._headers = {
            "Authorization": f"token {token}",
            "Content-Type": "application/json",
            "Host": urlsplit(url).netloc,
        }
        self._file = file
        self._log = log
        self._attempts = Attempts(os.urandom(6).hex())
        self._news = asyncio.Event()
        self._written = Kept()
        self._was_up = True

    def note(self, outcome: Outcome, subject: str, client: str, reason: str = "") -> None:
        if self._attempts.note(outcome, subject, client, reason, time.time()):
            level = logging.INFO if outcome == SUCCEEDED else logging.WARNING
            self._log.log(level, "log-in %s: %s from %s %s", outcome, subject, client, reason)
            self._news.set()

    def tell(self, deed: str, actor: str, subject: str, client: str, reason: str = "") -> None:
        """What somebody did to an account."""
        self._attempts.did(deed, actor, subject, client, time.time(), reason)
        self._log.info("%s: %s by %s from %s %s", deed, subject, actor, client, reason)
        self._news.set()

    def tell_call(self, kind: Kind, one_by_one: bool) -> None:
        """What somebody did by the hub's API, or tried to; JupyterHub's own log has the request."""
        self._attempts.called(kind, time.time(), one_by_one)
        self._news.set()

    async def keep_telling(self) -> None:
        """Until cancelled: then it tells what is being counted, if the gateway is there."""
        self._restore()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), EVERY)
                self._news.clear()
                try:
                    is_up = await self._tell()
                except Exception:  # noqa: BLE001 - whatever it was, the next log-in must be told
                    self._log.exception("log-ins could not be told; they are kept")
                    is_up = False
                if not is_up:
                    await asyncio.sleep(EVERY)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST):
                    await self._tell(end=True)
            self._write()
            if self._written.told:
                self._log.warning(
                    "%d events of log-ins are not in the audit yet: %s", len(self._written.told), self._file
                )

    async def _tell(self, end: bool = False) -> bool:
        """Whether the gateway has all that is due."""
        due = self._attempts.due(time.time(), end)
        self._write()
        for each in due:
            is_up = await self._send(each)
            if is_up != self._was_up:
                self._log.warning(
                    "the gateway takes log-ins again" if is_up else "the gateway takes no log-ins; they are kept"
                )
            self._was_up = is_up
            if not is_up:
                return False
            self._attempts.sent(each)
        self._write()
        return True

    async def _send(self, told: Told) -> bool:
        detail: dict[str, str | int] = {"client": told.client, "count": told.count, "report": told.id}
        event = {
            "action": told.action,
            "actor": told.by,
            "subject": told.subject,
            "detail": dict(told.said) | detail | ({"reason": told.reason} if told.reason else {}),
            "at": told.at,
        }
        try:
            where = await asyncio.to_thread(near_url, self._url, self._pool)
            await AsyncHTTPClient().fetch(
                f"{where}/events",
                method="POST",
                body=json.dumps(event),
                headers=self._headers,
                connect_timeout=2,
                request_timeout=10,
            )
        except HTTPError as error:
            if error.code not in NEVER:
                self._log.debug("%s: %s", self._url, error)
                return False
            # those after it must go on, and this log is all that is left of it
            self._log.error("the gateway will not take %s: %s", json.dumps(event), error)
        except OSError as error:
            self._log.debug("%s: %s", self._url, error)
            return False
        return True

    def _restore(self) -> None:
        """A file that cannot be read is put aside, not overwritten."""
        try:
            self._attempts.restore(msgspec.json.decode(self._file.read_bytes()[:LARGEST], type=Kept))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._log.error("%s cannot be read, and is put aside: %s", self._file, error)
            with contextlib.suppress(OSError):
                self._file.rename(self._file.with_suffix(".unreadable"))
        self._written = self._attempts.keep()

    def _write(self) -> None:
        """What the gateway does not have, if it is not what lies there already."""
        kept = self._attempts.keep()
        if kept.told == self._written.told:
            return
        beside = self._file.with_suffix(".new")
        try:
            if kept.told:
                with open(os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
                    file.write(msgspec.json.encode(kept))
                beside.replace(self._file)
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            self._log.error("what the audit was not told cannot be kept in %s: %s", self._file, error)
        self._written = kept
