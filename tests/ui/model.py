"""placeholder"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class _M:
    url = "http://127.0.0.1:9/v1"

    def reset(self) -> None: ...


@contextmanager
def running() -> Iterator[_M]:
    yield _M()
