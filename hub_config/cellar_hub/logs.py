"""Logs of a process of the hub's side: one JSON object a line, of bounded fields.

Nothing of prompts or answers is ever handed to a logger; an exception is told by its class and by where it was raised,
without its words and without source, which might hold text.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage()[:1000],
        }
        said |= {name: value for name, value in record.__dict__.items() if name not in _OWN}
        if record.exc_info and record.exc_info[0] is not None:
            said["error"] = record.exc_info[0].__name__
            said["where"] = _where(record.exc_info[2])
        return json.dumps(said, ensure_ascii=False, default=str)


def _where(trace: Any) -> list[str]:
    """Files and lines of a traceback: without the exception's words and without source, which might hold text."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[-12:]


class _NotTheCut(logging.Filter):
    """uvicorn complains when an answer is left without its end; that is how we cut one on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing response" not in record.getMessage()


def configure_logs(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").addFilter(_NotTheCut())
    for noisy in ("httpx", "httpcore", "aiohttp", "asyncio", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
