"""Network namespaces: made without a name, entered by a thread for as long as a call takes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cellar_offline.release import Unusable

CLONE_NEWNET = 0x40000000
NAME = "cellar-out"
"""Of the interface in a container, the way out."""

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


class Unsealed(Unusable):
    """The seal cannot be made, or does not hold; the message is for a person."""


def _checked(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise Unsealed(f"{what}: {os.strerror(number)}. The proof needs root, and a kernel with network namespaces.")


def make() -> int:
    """A file descriptor of a new network namespace; it lives as long as that is open, or somebody is in it."""
    found: list[int] = []

    def unshare() -> None:
        _checked(_libc.unshare(CLONE_NEWNET), "a network namespace could not be made")
        found.append(os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    _in_a_thread(unshare)
    return found[0]


def within(namespace: int, call: Callable[[], T]) -> T:
    """What `call` returns, made in that namespace by a thread of its own: sockets and programs begun there belong to
    it. Its error is raised here."""
    found: list[T] = []

    def enter() -> None:
        _checked(_libc.setns(namespace, CLONE_NEWNET), "a network namespace could not be entered")
        found.append(call())

    _in_a_thread(enter)
    return found[0]


def enter(namespace: int) -> None:
    """For the thread that calls, and what it starts from now on."""
    _checked(_libc.setns(namespace, CLONE_NEWNET), "a network namespace could not be entered")


def _in_a_thread(call: Callable[[], None]) -> None:
    """A namespace belongs to a thread; one that ends takes it along."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as problem:  # noqa: BLE001 - raised again below, in the thread that asked
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]


def run(*command: str, given: str = "") -> str:
    """What a program says; Unsealed with its last words when it fails or is missing."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unsealed(f"The proof needs the program {command[0]}, and it is not here.") from None
    if done.returncode != 0:
        raise Unsealed(f"{' '.join(command)[:200]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def ip(lines: Sequence[str], *options: str) -> None:
    """Commands of `ip`, in the namespace of the thread that calls. Unsealed at the first that fails."""
    run("ip", *options, "-batch", "-", given="".join(f"{line}\n" for line in lines))


def write(path: str, value: str) -> None:
    """A setting under /proc/sys/net, of the namespace of the thread that calls; one that this kernel lacks is left."""
    setting = Path("/proc/sys/net") / path
    if setting.exists():
        setting.write_text(value)


def of_process(pid: int) -> int:
    """A file descriptor of a process's network namespace; OSError when it has ended."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def close(descriptors: Sequence[Any]) -> None:
    for each in descriptors:
        os.close(each)
