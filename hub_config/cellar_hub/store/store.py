"""One writer with group commit, and a small pool of readers.

A durable commit costs a disk one fsync, however much stands in it. So requests do not commit each for itself: while one
commit is on its way to the disk the next requests gather, and all of them share the next one. Each runs in a savepoint
of its own; one that raises takes back only what it did itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from cellar.settings import SettingsError
from sqlalchemy import URL, Connection, NestedTransaction, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from cellar_hub.store.claim import AlreadyRunning, claim_file, claim_in_each_session
from cellar_hub.store.engine import StoreDown, is_down, parse_url, reading_engine, reason, writing_engine
from cellar_hub.store.replaced import DatabaseFile
from cellar_hub.store.schema import is_of_today, migrate

T = TypeVar("T")
log = logging.getLogger(__name__)

LOCK_SECONDS = 5.0  # how long a lock of another process is waited for
PATIENCE = 3  # times that: when a caller hears StoreDown, whatever the database is doing
SHARED = 64  # requests in one commit at most: a bound on the lock's time; PostgreSQL keeps so many savepoints in memory
READERS = 4
HOOKS = "cellar_after_commit"


class NoAnswer(StoreDown):
    """The database is not down as far as it says; it says nothing."""


@dataclass(eq=False)
class Job(Generic[T]):
    """One caller's work, and what became of it. Written by the writer's thread, read by the loop after it."""

    work: Callable[[Connection], T]
    future: asyncio.Future[T]
    value: T | None = None
    error: BaseException | None = None

    def resolve(self) -> None:
        if self.future.done():  # the caller has left
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)  # type: ignore[arg-type] # T may itself be None


def after_commit(tx: Connection, call: Callable[[], None]) -> None:
    """Inside of `Store.write`: call this, in the writer's thread, once what was written is durable; else never."""
    tx.info.setdefault(HOOKS, []).append(call)


def waiting_calls(tx: Connection) -> Sequence[Callable[[], None]]:
    """What `after_commit` was told in this transaction so far, except by works that failed."""
    waiting: list[Callable[[], None]] = tx.info.get(HOOKS, [])
    return waiting


class Store:
    """The hub side's database. Open it once in a process and close it at the end."""

    def __init__(self, url: URL, wait: float = LOCK_SECONDS, name: str | None = None) -> None:
        self._claim: int | None = None
        self._url = url
        self._name = name
        self._wait = wait
        self._writer = writing_engine(url, wait)
        if name is not None:
            self._claim_name(url, name, time.monotonic() + wait)
        self._reader = reading_engine(url, wait, READERS)
        self._file = DatabaseFile(Path(url.database or "")) if url.drivername == "sqlite" else None
        self._following = threading.Lock()
        for engine in (self._writer, self._reader):
            event.listen(engine, "connect", self._bring_up_to_date)
        event.listen(self._reader, "checkin", self._let_go)
        self._patience = PATIENCE * wait
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cellar-store-read")
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._failed: str | None = None  # why the last commit did; None while the database answers
        self._thread = threading.Thread(target=self._write_until_closed, name="cellar-store-write", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, url: str, wait: float = LOCK_SECONDS, name: str | None = None) -> Store:
        """Bring the database's tables up to date and start the writer. Blocks; call it before the loop runs.

        `wait`: seconds until a lock of another process counts as the database being down. `name`: this process's, when
        there may be only one of it. Raises StoreDown (AlreadyRunning when the name is still taken after `wait`), and
        SettingsError for an address that is none, or that is JupyterHub's own database.
        """
        parsed = parse_url(url)
        migrate(parsed)
        return cls(parsed, wait, name)

    def _claim_name(self, url: URL, name: str, deadline: float) -> None:
        """The process before may still be ending."""
        if url.drivername != "sqlite":
            claim_in_each_session(self._writer, name)
        while True:
            try:
                if url.drivername == "sqlite":
                    self._claim = claim_file(Path(url.database or ""), name)
                else:
                    self._writer.connect().close()
                return
            except AlreadyRunning:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)
            except (OSError, SQLAlchemyError) as error:
                raise StoreDown(reason(error)) from None

    @property
    def down(self) -> str | None:
        """Why nothing can be written; None while the database answers."""
        if self._failed is None and self._file is not None:
            try:
                self._file.now()
            except StoreDown as error:
                return str(error)
        return self._failed

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer's thread; return its value after the commit that holds it is on the disk.

        What `work` raises is raised here, and only its own writes are undone. Raises StoreDown within three times
        `wait`. Work whose caller was cancelled before it began is not done; once begun it may be. `work` must not block
        on anything but the database.
        """
        if self._closed:
            raise StoreDown("closed")
        job: Job[T] = Job(work, asyncio.get_running_loop().create_future())
        self._queue.put(job)
        try:
            return await _patiently(job.future, self._patience)
        except NoAnswer as error:
            self._tell_down(str(error))
            raise

    async def read(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        """Run `work` in a reader's thread on one snapshot; it cannot write. Raises what it raises, and StoreDown, after
        `patience` seconds at the latest (None: three times `wait`)."""
        if self._closed:
            raise StoreDown("closed")

        def run() -> T:
            with self.reading() as connection:
                return work(connection)

        reading = asyncio.get_running_loop().run_in_executor(self._readers, run)
        return await _patiently(reading, patience or self._patience)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The same for a program without a loop, or for a long export: a snapshot for as long as the block runs."""
        try:
            self._follow_file()
            with self._reader.begin() as connection:
                yield connection
        except Exception as error:
            if is_down(error):
                raise StoreDown(reason(error)) from None
            raise

    async def close(self) -> None:
        """Finish what is waiting, as far as the database lets us within three times `wait`, and let go of it."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join, self._patience)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._reader.dispose()
        self._writer.dispose()
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _let_go(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        """A reader that is ready after the end has a connection that nobody else would close."""
        if self._closed:
            entry.invalidate()

    # --- another database under the same address

    def _follow_file(self) -> None:
        """Go on with the file that is there, when it is another one. Raises StoreDown."""
        file = self._file
        if file is None or file.now() == file.known:
            return
        with self._following:
            if (found := file.now()) == file.known:
                return  # another thread was first
            if self._name is not None:  # what it is claimed on may be another file, too
                if self._claim is not None:
                    os.close(self._claim)
                    self._claim = None
                self._claim_name(self._url, self._name, time.monotonic() + self._wait)
            file.adopt(found)
            self._writer.dispose()
            self._reader.dispose()
            log.warning("another file is in the place of %s: it is used from now on", file.path)

    def _bring_up_to_date(self, connection: Any, _entry: ConnectionPoolEntry) -> None:
        """Of a database that was put in the place of ours while we run, each new connection may be the first."""
        if is_of_today(connection):
            return
        try:
            migrate(self._url)
        except SettingsError as error:
            raise StoreDown(str(error)) from None

    # --- the writer's thread

    def _write_until_closed(self) -> None:
        closing = False
        while not closing:
            jobs, closing = self._gather()
            if jobs:
                self._commit_or_fail(jobs)
                _resolve_in_their_loops(jobs)

    def _gather(self) -> tuple[list[Job[Any]], bool]:
        """Wait for a job, then take all that wait by now; True after the last one."""
        jobs: list[Job[Any]] = []
        job = self._queue.get()
        while True:
            if job is None:
                return jobs, True
            if not job.future.cancelled():
                jobs.append(job)
            if len(jobs) >= SHARED or self._queue.empty():
                return jobs, False
            job = self._queue.get()  # never waits: this thread is the only one that takes

    def _commit_or_fail(self, jobs: list[Job[Any]]) -> None:
        """The thread's edge: whatever happens, those who asked hear of it, and writing goes on."""
        try:
            hooks = self._commit(jobs)
        except BaseException as error:  # noqa: BLE001 - handed to the one who asked, or told to all
            if len(jobs) == 1 and not is_down(error):
                jobs[0].error = error
            else:
                self._tell_down(reason(error))
                for job in jobs:
                    job.error = StoreDown(reason(error))
            return
        if self._failed is not None:
            log.warning("the database is back")
            self._failed = None
        for call in hooks:
            try:
                call()
            except Exception:
                log.exception("a call after a commit failed")

    def _tell_down(self, why: str) -> None:
        if self._failed is None:
            log.warning("the database is down: %s", why)
        self._failed = why

    def _commit(self, jobs: list[Job[Any]]) -> list[Callable[[], None]]:
        """What is to be called now. Raises when nothing of this transaction was, or is known to be, written."""
        hooks: list[Callable[[], None]] = []
        self._follow_file()
        known = self._file and self._file.known
        with self._writer.begin() as tx:
            if self._file is not None:
                self._file.remember_log()
            tx.info[HOOKS] = hooks
            if len(jobs) == 1:  # nobody to protect from its failure: two round trips less
                jobs[0].value = jobs[0].work(tx)
            else:
                for job in jobs:
                    _run_in_savepoint(tx, job, hooks)
        if self._file is not None and self._file.now() != known:
            raise StoreDown("another file was put in the place of the database while this was written")
        return hooks


async def _patiently(future: asyncio.Future[T], patience: float) -> T:
    try:
        async with asyncio.timeout(patience) as limit:
            return await future
    except TimeoutError:
        if limit.expired():
            raise NoAnswer(f"no answer within {patience:g} s") from None
        raise


def _run_in_savepoint(tx: Connection, job: Job[Any], hooks: list[Callable[[], None]]) -> None:
    kept = len(hooks)
    savepoint = tx.begin_nested()
    try:
        job.value = job.work(tx)
        savepoint.commit()
    except BaseException as error:  # handed to the one who asked
        if not _undone(tx, savepoint):
            raise
        del hooks[kept:]
        job.error = StoreDown(reason(error)) if is_down(error) else error


def _undone(tx: Connection, savepoint: NestedTransaction) -> bool:
    """Undo one job; False when the database has undone the whole transaction (connection lost, SQLite's disk full)."""
    try:
        savepoint.rollback()
    except SQLAlchemyError:
        return False
    return not tx.invalidated


def _resolve_in_their_loops(jobs: list[Job[Any]]) -> None:
    """One wake-up for each loop, not one for each caller."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.future.get_loop(), []).append(job)
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, theirs)
        except RuntimeError:  # that loop has ended; nobody waits there
            pass


def _resolve(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        job.resolve()
