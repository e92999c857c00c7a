"""Everything Cellar has in one Jupyter server, put together; and what happens at its start and end."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cellar import wire
from cellar.errors import CellarError

from .answer import Answering
from .app import Cellar
from .awake import find_report, report_returns, watch_kernels
from .conversations import Conversations
from .defects import describe
from .files import Files
from .models import Models
from .readers import Readers
from .search import Search
from .shelf import Shelf
from .store import DiskStore, MemoryStore, Store
from .turns import Turns
from .usage import UsageBook, report_of

LONGEST_REST = 300.0
"""Seconds between two tries to take over what the disk refuses."""


class Workspace:
    """Made by `door.Door`, in a thread: it awaits nothing and needs no event loop until `warm_up`."""

    def __init__(self, config: Cellar, server_app: Any) -> None:
        self.config = config
        self.log = server_app.log
        self._settings: dict[str, Any] = server_app.web_app.settings
        self._kernels = server_app.kernel_manager
        self._last_activity = server_app.web_app.last_activity
        self._report = find_report(server_app)
        contents = server_app.contents_manager
        root = getattr(contents, "root_dir", "") or server_app.root_dir
        self.files = Files(os.path.expanduser(root), bool(getattr(contents, "allow_hidden", False)))
        self.store: Store = self._make_store()
        directory = self.store.directory if isinstance(self.store, DiskStore) else None
        self.usage = UsageBook(directory)
        self.shelf = Shelf(self.store, self.log)
        self.models = Models(config)
        self.answering = Answering(config, self.models, self.files, self.shelf, self.usage)
        self.turns = Turns(self.shelf, self.answering, self.log, self.touch)
        self.conversations = Conversations(self.shelf, self.turns)
        self.search = Search(self.files)
        self.readers = Readers()
        self._saving: asyncio.Task[None] | None = None
        self._adopting: asyncio.Task[None] | None = None
        self._looked_at = asyncio.Event()
        self._watching: list[asyncio.Task[None]] = []

    def _make_store(self) -> Store:
        if self.config.history == "memory":
            return MemoryStore()
        try:
            return DiskStore(Path(self.config.history_dir), lambda message: self.log.warning("Cellar: %s", message))
        except OSError as error:
            self.log.error("Cellar cannot use %s: %s", self.config.history_dir, error.strerror)
            self.config.history = "memory"
            return MemoryStore()

    # -- start and end ------------------------------------------------------------------------------------------------

    async def warm_up(self) -> None:
        """After the server serves: adopt what earlier servers left, load what the first question needs, look around."""
        atexit.register(self.turns.flush_blocking)
        watches = [watch_kernels(self._kernels, self.touch, self.log)]
        if self._report is not None:
            watches.append(report_returns(self._last_activity, self._report, self.log))
        self._watching = [asyncio.create_task(watch) for watch in watches]
        self._adopting = asyncio.create_task(self._adopt())
        await self.turns.ready.wait()
        await asyncio.to_thread(_load_what_a_question_needs)
        try:
            await self.models.refresh()
        except CellarError as error:
            self.log.info("Cellar: the model server answers %s", error.code)

    async def _adopt(self) -> None:
        """Take over what earlier servers left. What the disk refuses is tried again when a page looks, and by itself,
        less and less often."""
        from .recovery import adopt_journals

        rest = 10.0
        while True:
            try:
                refused = await adopt_journals(self.shelf, self.turns)
            except Exception as error:  # noqa: BLE001 - edge of the process: a defect here must not cost the assistant
                self.log.error("Cellar: adopting journals failed: %s", describe(error))
                refused = False
            self.turns.ready.set()
            if not refused:
                return
            self._looked_at.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._looked_at.wait()
            rest = min(2 * rest, LONGEST_REST)

    def touch(self) -> None:
        """Something happens here: whoever culls idle servers sees it."""
        self._settings["last_activity_times"]["cellar_last_activity"] = datetime.now(UTC)

    # -- answers of small routes --------------------------------------------------------------------------------------

    async def status(self) -> wire.Status:
        self._looked_at.set()
        if self.shelf.unsaved and (self._saving is None or self._saving.done()):
            self._saving = asyncio.create_task(self.turns.keeping.save_again())
        await self.models.look()
        await self.shelf.settled()  # a page asks when an answer has ended: the disk may be about to refuse it
        return wire.Status(
            version=version(),
            model_server=self._health(),
            models=self.models.known,
            default_model=self.models.default(),
            policy=self.config.policy(),
            announcements=self._announcements(),
        )

    async def use(self) -> wire.UsageReport:
        """What the user has used today, and the quotas."""
        me = await self.models.ask_me()
        return await self.usage.report(time.time()) if me is None else report_of(me)

    def _health(self) -> wire.ModelServer:
        health = self.models.health
        return msgspec.structs.replace(health, address=self.models.address) if health.state == "down" else health

    def _announcements(self) -> tuple[wire.Announcement, ...]:
        told = [
            wire.Announcement(id=f"setting-{problem}", level="error", text=text)
            for problem, text in self.config.feature_problems().items()
        ]
        if gone := self.models.missing:
            text = f"c.Cellar.model (CELLAR_MODEL): the model server has no {gone!r}; its first model is asked instead."
            told.append(wire.Announcement(id=f"setting-no_model-{gone}", level="warning", text=text))
        told += [
            wire.Announcement(id=f"store-{index}", level="warning", text=problem)
            for index, problem in enumerate(self.store.problems)
        ]
        if self.shelf.unsaved:
            text = "Conversations cannot be written to disk; they are kept in memory until they can."
            told.append(wire.Announcement(id="unsaved", level="error", text=text))
        if self.models.me is not None:
            now = time.time()
            told += [each for each in self.models.me.announcements if each.ends is None or now < each.ends]
        return tuple(told)


def _load_what_a_question_needs() -> None:
    """Import, in a thread, what the first question would otherwise wait for."""
    import cellar.client
    import cellar.context
    import cellar.prompts  # noqa: F401

    msgspec.json.encode({})


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("jupyter-cellar")
    except PackageNotFoundError:  # a checkout that was not installed
        return "0"
