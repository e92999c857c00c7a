"""The ring of keys that the audit is signed with: a file of mode 0600, apart from the database.

A new key is added by command; the old ones stay, because rows are verified with the key they were written with. A key's
id is the beginning of its hash, so that a wrong ring shows as unknown keys and not as ten million forged rows. Each
purpose has a key derived from it: nobody can ask a question whose MAC passes for that of a row.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from cellar.settings import SettingsError

SETTING = "CELLAR_AUDIT_KEYS"
BYTES = 32

Purpose = Literal["text", "row", "head", "seal", "lost"]


class UnknownKey(Exception):
    """Signed with a key that this ring does not have."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key {key_id} is not in the ring")
        self.key_id = key_id


class RingFile(msgspec.Struct, forbid_unknown_fields=True):
    """The file: secrets by key id, in base64."""

    current: str
    keys: dict[str, str]


class Keys:
    """Signs with the current key, checks with any."""

    def __init__(self, current: str, secrets_by_id: Mapping[str, bytes]) -> None:
        self.current = current
        self._secrets = dict(secrets_by_id)
        self._derived: dict[tuple[str, Purpose], bytes] = {}

    @classmethod
    def open(cls, path: Path) -> Keys:
        """Read the ring; make one with a first key where there is none. Raises SettingsError that names the file, also
        when others may read it."""
        try:
            if not path.exists():
                _create(path, _encode(_new_ring()))
            return _read(path)
        except OSError as error:
            raise SettingsError(SETTING, f"names {path}: {error.strerror}") from None

    @classmethod
    def rotate(cls, path: Path) -> Keys:
        """Add a key and sign with it from now on; processes that run take it at their next start."""
        cls.open(path)
        with _locked(path.parent):
            new = _new_ring()
            keys = cls(new.current, _read(path)._secrets | new._secrets)
            os.replace(_write_beside(path, _encode(keys)), path)
            sync_folder(path.parent)
        return keys

    @classmethod
    def merge(cls, path: Path, other: Path) -> bool:
        """Take over what another state of this ring has more, and sign with its key. False, and nothing done, when it
        is a ring of something else, or none: they have no key in common."""
        try:
            ours, theirs = _read(path), _read(other)
        except (SettingsError, OSError):
            return False
        if ours._secrets.keys().isdisjoint(theirs._secrets):
            return False
        if not theirs._secrets.keys() <= ours._secrets.keys():
            with _locked(path.parent):
                whole = cls(theirs.current, ours._secrets | theirs._secrets)
                os.replace(_write_beside(path, _encode(whole)), path)
                sync_folder(path.parent)
        return True

    @property
    def ids(self) -> list[str]:
        return list(self._secrets)

    def mac(self, text: bytes) -> str:
        """What the audit keeps of a question or an answer: `KEY_ID:HEX`, HMAC-SHA256. A plain hash of a short prompt
        could be guessed."""
        return f"{self.current}:{self.sign('text', text)}"

    def text_mac(self) -> TextMac:
        """`mac` of a text that comes in pieces."""
        return TextMac(self.current, self._key(self.current, "text"))

    def sign(self, purpose: Purpose, message: bytes) -> str:
        """The hexadecimal HMAC-SHA256 by the current key."""
        return self._mac(self.current, purpose, message)

    def holds(self, purpose: Purpose, message: bytes, key_id: str, mac: str) -> bool:
        """Whether `mac` is that key's. Raises UnknownKey."""
        return hmac.compare_digest(self._mac(key_id, purpose, message).encode(), mac.encode())

    def _mac(self, key_id: str, purpose: Purpose, message: bytes) -> str:
        return hmac.digest(self._key(key_id, purpose), message, "sha256").hex()

    def _key(self, key_id: str, purpose: Purpose) -> bytes:
        key = self._derived.get((key_id, purpose))
        if key is None:
            if key_id not in self._secrets:
                raise UnknownKey(key_id)
            key = hmac.digest(self._secrets[key_id], f"cellar audit {purpose}".encode(), "sha256")
            self._derived[key_id, purpose] = key
        return key


class TextMac:
    """A text's MAC while it grows: an answer's, while it streams."""

    def __init__(self, key_id: str, key: bytes) -> None:
        self._key_id = key_id
        self._hmac = hmac.new(key, digestmod="sha256")

    def update(self, piece: bytes) -> None:
        self._hmac.update(piece)

    def value(self) -> str:
        """As `Keys.mac` of the whole."""
        return f"{self._key_id}:{self._hmac.hexdigest()}"


def _key_id(secret: bytes) -> str:
    return hashlib.sha256(b"cellar audit key " + secret).hexdigest()[:8]


def _new_ring() -> Keys:
    secret = secrets.token_bytes(BYTES)
    return Keys(_key_id(secret), {_key_id(secret): secret})


def _encode(keys: Keys) -> bytes:
    ring = RingFile(keys.current, {key: base64.b64encode(secret).decode() for key, secret in keys._secrets.items()})
    return msgspec.json.format(msgspec.json.encode(ring), indent=2) + b"\n"


def _read(path: Path) -> Keys:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise SettingsError(SETTING, f"names {path}, which others may read (mode {mode:o}); chmod 600 it")
        content = file.read()
    try:
        ring = msgspec.json.decode(content, type=RingFile)
        known = {key: base64.b64decode(text, validate=True) for key, text in ring.keys.items()}
    except ValueError:
        raise SettingsError(SETTING, f"names {path}, which is no ring of keys") from None
    if ring.current not in known or any(_key_id(secret) != key for key, secret in known.items()):
        raise SettingsError(SETTING, f"names {path}, in which a key has been changed")
    return Keys(ring.current, known)


def _create(path: Path, content: bytes) -> None:
    """Of two processes that start at once one makes the ring, and both read that one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = _write_beside(path, content)
    try:
        os.link(written, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(written)
    sync_folder(path.parent)


def _write_beside(path: Path, content: bytes) -> Path:
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return beside


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """So that a new file in it is still there after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
