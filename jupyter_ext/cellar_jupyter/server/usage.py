"""The user's own use of today: tokens in and out, turns. One small private file, or only memory."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from cellar import wire
from cellar.me import Me, Window

from .disk import locked, replace_private


class Day(msgspec.Struct, frozen=True):
    day: str = ""
    prompt: int = 0
    completion: int = 0
    turns: int = 0


class UsageBook:
    """Days are the server's own calendar."""

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / "usage.json" if directory is not None else None
        self._lock = directory / ".lock" if directory is not None else None
        self._memory = Day()

    async def add(self, prompt: int, completion: int, now: float) -> None:
        """Never fails a turn: a disk that refuses costs the count, and memory has it."""
        await asyncio.to_thread(self._add, prompt, completion, _day(now))

    async def report(self, now: float) -> wire.UsageReport:
        day = await asyncio.to_thread(self._of, _day(now))
        return wire.UsageReport(prompt_today=day.prompt, completion_today=day.completion, turns_today=day.turns)

    def _add(self, prompt: int, completion: int, today: str) -> None:
        if self._path is None or self._lock is None:
            self._memory = _plus(self._of(today), prompt, completion)
            return
        try:
            with locked(self._lock):
                self._memory = _plus(self._of(today), prompt, completion)
                replace_private(self._path, [msgspec.json.encode(self._memory)])
        except OSError:
            self._memory = _plus(self._memory if self._memory.day == today else Day(today), prompt, completion)

    def _of(self, today: str) -> Day:
        day = self._memory
        if self._path is not None:
            try:
                day = msgspec.json.decode(self._path.read_bytes(), type=Day)
            except (OSError, msgspec.DecodeError):
                pass
        return day if day.day == today else Day(today)


def report_of(me: Me) -> wire.UsageReport:
    """The gateway counts for all of the user's workspaces and kernels; requests under way count as used."""
    windows: tuple[tuple[Literal["day", "month"], Window], ...] = (("day", me.day), ("month", me.month))
    return wire.UsageReport(
        prompt_today=me.day.spent.prompt,
        completion_today=me.day.spent.completion,
        turns_today=me.day.spent.requests,
        quotas=tuple(
            wire.Quota(
                window=name,
                used=window.spent.prompt + window.spent.completion + window.reserved,
                limit=window.limit,
                resets_at=window.resets_at,
            )
            for name, window in windows
            if window.limit is not None
        ),
        destinations=me.destinations,
    )


def _plus(day: Day, prompt: int, completion: int) -> Day:
    return Day(day.day, day.prompt + prompt, day.completion + completion, day.turns + 1)


def _day(now: float) -> str:
    return datetime.fromtimestamp(now).strftime("%Y-%m-%d")
