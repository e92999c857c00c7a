"""The client on a thread of its own, the kernel's main thread waiting in short steps.

A kernel runs a cell on its main thread, and Ctrl-C (or the Stop button's interrupt) raises KeyboardInterrupt there. An
event loop running on that thread would swallow or delay it; so the loop lives on a daemon thread for the life of the
kernel, which also keeps the connection to the model server open between questions. Leaving `stream` for any reason
cancels the reader and waits until it has closed its socket: the model server sees the end at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import wait
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

STEP = 0.05
"""Seconds: the longest wait of the main thread in one piece, and the time within which events travel together."""
CLOSING = 2.0
"""Seconds to wait for the socket to be closed after a stop."""


class Background:
    """One event loop on one daemon thread; it starts with the first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._running_loop())
        try:
            while not future.done():
                wait([future], STEP)
            return future.result()
        finally:
            future.cancel()

    @contextmanager
    def stream(self, source: AsyncGenerator[T, None]) -> Iterator[Iterator[list[T]]]:
        """Lists of items as they come, at most one per `STEP`, the first at once. Raises what the source raises.

        An interrupt may strike between any two lines here. The loop does its errands in order, so that `stop` finds
        what `start` began, even when this thread did not get to know of it.
        """
        inbox: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        ended = threading.Event()
        tasks: list[asyncio.Task[None]] = []
        loop = self._running_loop()

        async def pump() -> None:
            async with aclosing(source):
                async for item in source:
                    inbox.put(item)

        def end(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # it is ours now, not the loop's to complain of
            inbox.put(None)
            ended.set()

        def start() -> None:
            tasks.append(loop.create_task(pump()))
            tasks[0].add_done_callback(end)

        def stop() -> None:
            for task in tasks:
                task.cancel()
            if not tasks:
                ended.set()

        try:
            loop.call_soon_threadsafe(start)
            yield _batches(inbox, tasks, lambda: loop.call_soon_threadsafe(stop))
        finally:
            loop.call_soon_threadsafe(stop)
            ended.wait(CLOSING)

    def close(self) -> None:
        """End the loop and its thread."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSING)
            self._loop = self._thread = None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(loop,), name="cellar", daemon=True)
            self._thread.start()
        return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _batches(
    inbox: queue.SimpleQueue[T | None], tasks: list[asyncio.Task[None]], stop: Callable[[], object]
) -> Iterator[list[T]]:
    """None in the inbox is the end: the source's own failure, if any, is raised after what came before it. What
    had come before an interrupt is handed over before the interrupt goes on."""
    last = 0.0
    batch: list[T] = []
    try:
        while True:
            item = _next(inbox)
            if item is not None:
                batch.append(item)
                time.sleep(max(0.0, last + STEP - time.monotonic()))
                ended = _drain(inbox, batch)
            else:
                ended = True
            if batch:
                whole, batch = batch, []
                yield whole
                last = time.monotonic()
            if ended:
                return tasks[0].result()
    except KeyboardInterrupt:
        stop()
        _drain(inbox, batch)
        if batch:
            yield batch
        raise


def _next(inbox: queue.SimpleQueue[T | None]) -> T | None:
    while True:
        try:
            return inbox.get(timeout=STEP)
        except queue.Empty:
            continue


def _drain(inbox: queue.SimpleQueue[T | None], batch: list[T]) -> bool:
    """What is there now; true: the end was among it."""
    while True:
        try:
            item = inbox.get_nowait()
        except queue.Empty:
            return False
        if item is None:
            return True
        batch.append(item)
