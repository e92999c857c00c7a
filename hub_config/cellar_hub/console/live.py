"""The gateway's state, asked every few seconds, and what its counters did between: the last quarter of an hour.

Nothing is asked while nobody looks at a page with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

import httpx
import msgspec

from cellar_hub.gateway.state import Bucket, GatewayState

EVERY = 3.0
KEPT = 300
"""Samples: fifteen minutes."""
WINDOW = 300.0
"""Seconds over which rates and percentiles are taken."""
UNWATCHED = 120.0
"""Seconds without a look after which it rests."""
TIMEOUT = 4.0

log = logging.getLogger(__name__)


class Sample(msgspec.Struct, frozen=True):
    """`state` is None when the gateway did not answer; `why` says what it did."""

    at: float
    state: GatewayState | None
    why: str = ""


class Live:
    """`http` reaches the gateway's second port at `url`."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str, *, every: float = EVERY) -> None:
        self._http = http
        self._url = url.rstrip("/") + "/state"
        self._headers = {"authorization": f"token {token}"}
        self._every = every
        self._looked = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.samples: deque[Sample] = deque(maxlen=KEPT)

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def now(self) -> Sample:
        """The newest, which is not older than a few seconds."""
        self._looked = time.monotonic()
        self._wake.set()
        newest = self.samples[-1] if self.samples else None
        if newest is None or time.time() - newest.at > 2 * self._every:
            newest = await self._ask()
            self.samples.append(newest)
        return newest

    async def known(self, patience: float = 1.0) -> GatewayState | None:
        """The newest that is known, for a page that does not wait for a gateway that hangs. None: none ever was."""
        asking = asyncio.create_task(self.now())
        await asyncio.wait([asking], timeout=patience)
        asking.cancel()  # of one that is done it means nothing
        return self.last

    @property
    def last(self) -> GatewayState | None:
        """The same, without asking."""
        return next((each.state for each in reversed(self.samples) if each.state is not None), None)

    async def _watch(self) -> None:
        while True:
            if time.monotonic() - self._looked > UNWATCHED:
                self._wake.clear()
                await self._wake.wait()
            self.samples.append(await self._ask())
            await asyncio.sleep(self._every)

    async def _ask(self) -> Sample:
        at = time.time()
        try:
            answer = await self._http.get(self._url, headers=self._headers, timeout=TIMEOUT)
        except (httpx.HTTPError, OSError) as error:
            return Sample(at, None, type(error).__name__)
        if answer.status_code != 200:
            return Sample(at, None, f"HTTP {answer.status_code}")
        try:
            return Sample(at, msgspec.json.decode(answer.content, type=GatewayState))
        except msgspec.DecodeError as error:
            log.error("the gateway is of another release: %s", error)
            return Sample(at, None, "another release")


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Over the last minutes; None: too little is known."""

    requests_per_minute: float | None = None
    tokens_per_second: float | None = None
    failed: float | None = None  # share of requests that ended in an error
    first_token: tuple[float | None, float | None] = (None, None)  # seconds, median and 95th percentile
    queued: tuple[float | None, float | None] = (None, None)


def rates(samples: Sequence[Sample], now: float, window: float = WINDOW) -> Rates:
    """A gateway that was started again meanwhile counts from there."""
    known = [each for each in samples if each.state is not None and now - each.at <= window]
    known = _since_restart(known)
    if len(known) < 2:
        return Rates()
    first, last = known[0], known[-1]
    assert first.state is not None and last.state is not None
    passed = last.at - first.at
    if passed <= 0:
        return Rates()
    requests = _total(last.state.requests) - _total(first.state.requests)
    errors = last.state.requests.get("error", 0) - first.state.requests.get("error", 0)
    return Rates(
        requests_per_minute=60 * requests / passed,
        tokens_per_second=(last.state.tokens.get("completion", 0) - first.state.tokens.get("completion", 0)) / passed,
        failed=errors / requests if requests else None,
        first_token=_percentiles(first.state.first_token, last.state.first_token),
        queued=_percentiles(first.state.queued, last.state.queued),
    )


def first_tokens(samples: Sequence[Sample], window: float = WINDOW) -> list[float | None]:
    """For each sample the median time to the first token in the `window` before it, in seconds; None: of nothing."""
    found: list[float | None] = []
    begin = 0
    before: GatewayState | None = None
    for place, each in enumerate(samples):
        state = each.state
        if state is None:
            found.append(None)
            continue
        if before is not None and _is_restarted(before, state):
            begin = place
        while begin < place and (samples[begin].state is None or each.at - samples[begin].at > window):
            begin += 1
        oldest = samples[begin].state
        found.append(_percentiles(oldest.first_token, state.first_token)[0] if oldest is not None else None)
        before = state
    return found


def _is_restarted(older: GatewayState, newer: GatewayState) -> bool:
    return older.name != newer.name or _total(newer.requests) < _total(older.requests)


def _since_restart(samples: list[Sample]) -> list[Sample]:
    for place in range(len(samples) - 1, 0, -1):
        older, newer = samples[place - 1].state, samples[place].state
        assert older is not None and newer is not None
        if _is_restarted(older, newer):
            return samples[place:]
    return samples


def _total(counts: dict[str, int]) -> int:
    return sum(counts.values())


def _percentiles(before: Sequence[Bucket], after: Sequence[Bucket]) -> tuple[float | None, float | None]:
    earlier = {each.seconds: each.count for each in before}
    counts = [Bucket(each.seconds, each.count - earlier.get(each.seconds, 0)) for each in after]
    return quantile(counts, 0.5), quantile(counts, 0.95)


def quantile(buckets: Sequence[Bucket], share: float) -> float | None:
    """As Prometheus does it: evenly within the bucket; the last bound when it is beyond."""
    if not buckets or not buckets[-1].count:
        return None
    wanted = share * buckets[-1].count
    low, below = 0.0, 0
    for bucket in buckets:
        if bucket.seconds is None:
            return low
        if bucket.count >= wanted:
            inside = bucket.count - below
            return low + (bucket.seconds - low) * ((wanted - below) / inside if inside else 1.0)
        low, below = bucket.seconds, bucket.count
    return low
