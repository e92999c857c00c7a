"""Encryption to a key that the administrator names, by age (age-encryption.org/v1), as a stream."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyrage

from .manifest import Refused

MAGIC = b"age-encryption.org/v1"


def parse_recipients(keys: Sequence[str]) -> list[Any]:
    """Public keys: age1..., ssh-ed25519 ... (or ssh-rsa). Raises Refused."""
    found = []
    for key in keys:
        kind = pyrage.ssh.Recipient if key.startswith("ssh-") else pyrage.x25519.Recipient
        if key.upper().startswith("AGE-SECRET-KEY-") or "PRIVATE KEY" in key:
            raise Refused("--recipient: this is a private key; it belongs to whoever restores, not to the backup")
        try:
            found.append(kind.from_str(key.strip()))
        except pyrage.RecipientError:
            raise Refused(f"--recipient: {key[:24]!r} is no public key of age (age1...) or ssh (ssh-ed25519)") from None
    return found


def parse_identities(content: bytes) -> list[Any]:
    """The file of a private key: of age, or of ssh without a passphrase. Raises Refused."""
    try:
        if b"PRIVATE KEY-----" in content:
            return [pyrage.ssh.Identity.from_buffer(content)]
        lines = (line.strip() for line in content.decode().splitlines())
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise Refused("--identity: this is no private key of age or ssh, or it has a passphrase") from None
    if not found:
        raise Refused("--identity: there is no key in this file")
    return found


@contextmanager
def sealed(out: BinaryIO, recipients: Sequence[Any]) -> Iterator[BinaryIO]:
    """A file whose content is written to `out` for these recipients alone; with none, `out` itself."""
    if not recipients:
        yield out
        return
    read, write = os.pipe()
    with _Beside(lambda source: pyrage.encrypt_io(source, out, recipients), read) as beside:
        with beside.explaining(), open(write, "wb") as file:
            yield file
    out.flush()


@contextmanager
def unsealed(source: BinaryIO, identities: Sequence[Any]) -> Iterator[BinaryIO]:
    """The backup in the clear, whether it is encrypted or not. Raises Refused without the right key."""
    first = source.read(len(MAGIC))
    whole = _Again(first, source)
    if first != MAGIC:
        yield whole  # type: ignore[misc]  # it only reads
        return
    if not identities:
        raise Refused("this backup is encrypted: --identity FILE names the private key")
    read, write = os.pipe()
    thread = _Decrypting(whole, write, identities)
    thread.start()
    file = open(read, "rb")  # noqa: SIM115 - it is closed before the thread is waited for
    try:
        yield file
        if thread.error is None and file.read(1):
            raise Refused("this backup goes on after its end")
    except Exception:
        if isinstance(thread.failed(), pyrage.DecryptError):
            raise Refused("this backup cannot be decrypted: another key, or it is damaged") from None
        raise
    finally:
        file.close()
        thread.join()
    if thread.error is not None:
        raise Refused("this backup cannot be decrypted to its end: it is damaged") from None


class _Again:
    """A file of which something was read already."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first, self._rest = first, rest

    def read(self, size: int = -1) -> bytes:
        if not self._first:
            return self._rest.read(size)
        if size < 0:
            data, self._first = self._first + self._rest.read(), b""
            return data
        data, self._first = self._first[:size], self._first[size:]
        return data


class _Beside:
    """A thread that reads one end of a pipe, whose error is raised at the end of the block."""

    def __init__(self, work: Callable[[BinaryIO], object], read: int) -> None:
        self._work, self._read = work, read
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with open(self._read, "rb") as source:
            try:
                self._work(source)
            except BaseException as error:  # noqa: BLE001 - raised where the block ends
                self._error = error

    def __enter__(self) -> _Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._error is not None:
            raise Refused(f"the backup could not be encrypted: {self._error}") from None

    @contextmanager
    def explaining(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            pass  # the thread has ended, and __exit__ says why


class _Decrypting(threading.Thread):
    def __init__(self, source: _Again, write: int, identities: Sequence[Any]) -> None:
        super().__init__(daemon=True)
        self._source, self._write, self._identities = source, write, identities
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with open(self._write, "wb") as out:
                pyrage.decrypt_io(self._source, out, self._identities)
        except BaseException as error:  # noqa: BLE001 - the reader asks for it
            self.error = error

    def failed(self) -> BaseException | None:
        self.join(5)
        return self.error
