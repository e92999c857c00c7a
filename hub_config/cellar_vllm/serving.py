"""vLLM as a child: its log passes through, signals reach it, and when it ends its cause stands last in the log.

Design note. `exec` would be less, but then vLLM's own ending is what a person and systemd see: a traceback without a
cause, 1 for what will never work, 0 for an engine that died (`ending.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import IO

from cellar_vllm.ending import STOPPED, Ending

PATIENCE = 5.0
"""Seconds that vLLM's own children get to end after it."""
LONGEST = 10_000
"""Characters of a line that are looked at."""
_PR_SET_PDEATHSIG = 1


def run(line: Sequence[str], env: Mapping[str, str]) -> int:
    """Exit status, of `ending.py`. OSError: it cannot be started."""
    stopping = False
    process: subprocess.Popen[bytes] | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        again, stopping = stopping, True  # before anything else: the second one may come while the first is dealt with
        if process is not None and not again:
            process.send_signal(signal.SIGTERM)
            if number == signal.SIGINT:
                sys.stderr.write("cellar-vllm: lets answers end, a minute at most. Ctrl-C once more breaks them off.\n")
        elif process is not None and number == signal.SIGINT:
            process.kill()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # by nohup, or a shell's &
            signal.signal(number, stop)
    # In a session of its own: a terminal's Ctrl-C reaches it once, through us.
    process = subprocess.Popen(
        line,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
        preexec_fn=_end_with_us,  # no thread of ours runs yet
    )
    if stopping:
        process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    ending = Ending()
    log = _Log(process.stdout, ending)
    passing = threading.Thread(target=log.pass_on, daemon=True)
    passing.start()
    status = process.wait()
    passing.join(PATIENCE)  # until all who hold the other end have ended
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if stopping:
        return STOPPED
    words, ours = ending.told(status)
    newline = "\n" if log.unfinished else ""
    sys.stderr.write(f"{newline}cellar-vllm: {words}\n")
    return ours


class _Log:
    """What vLLM writes: passed on as it comes, read by lines beside that."""

    def __init__(self, source: IO[bytes], ending: Ending) -> None:
        self.unfinished = ""  # a line without its end
        self._source = source
        self._ending = ending

    def pass_on(self) -> None:
        """Until all who write there have ended."""
        while chunk := self._source.read(65536):
            with contextlib.suppress(OSError, ValueError):  # whoever read our log has gone: vLLM serves on
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
            *whole, line = (self.unfinished + chunk.decode(errors="replace")).split("\n")
            for each in whole:
                self._ending.read(each[:LONGEST])
            self.unfinished = line[-LONGEST:]
        self._ending.read(self.unfinished)


def _end_with_us() -> None:
    """Killed without a chance to say so, we take vLLM along: Linux tells it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
