"""Signatures by OpenSSH (ssh-keygen -Y, ed25519): who made a bundle, and who made a report.

What a signature proves, it proves of a key that is expected. A key that lies beside what it has signed proves nothing,
so none is read from there: `check` takes the expected key, and the fingerprint reaches a person another way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

BUNDLE = "cellar-bundle"
REPORT = "cellar-report"
KIND = "ssh-ed25519"
WHO = "cellar"
LIMIT = 60.0  # seconds for ssh-keygen


class BadSignature(Exception):
    """The signature does not hold, or the key is none; the message is for a person."""


class NoOpenSSH(Exception):
    """ssh-keygen is missing or does not know -Y; the message says the cure."""


def read_key(path: Path) -> str:
    """The public key in a file: "ssh-ed25519 AAAA...". BadSignature."""
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSignature(f"The key {path} cannot be read: {error}.") from None
    if len(words) < 2 or words[0] != KIND:
        raise BadSignature(f"{path} is no public key of the kind {KIND} (ssh-keygen -t ed25519 makes one).")
    key = f"{words[0]} {words[1]}"
    fingerprint(key)
    return key


def fingerprint(key: str) -> str:
    """As ssh-keygen -l prints it: "SHA256:...". BadSignature."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (binascii.Error, IndexError):
        raise BadSignature("The public key is damaged.") from None
    if not blob.startswith(b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20") or len(blob) != 51:
        raise BadSignature("The public key is damaged.")
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def sign(file: Path, key: Path, namespace: str = BUNDLE) -> Path:
    """FILE.sig, by the private key in `key`; an older signature is replaced. BadSignature, NoOpenSSH."""
    made = file.with_name(file.name + ".sig")
    made.unlink(missing_ok=True)
    # It may ask for the key's passphrase, at the end of a build of hours: as long as a person takes.
    done = _keygen("-Y", "sign", "-f", str(key), "-n", namespace, str(file), limit=None)
    if done.returncode != 0 or not made.is_file():
        raise BadSignature(f"{file} could not be signed with {key}: {_words(done)}")
    return made


def check(content: bytes, signature: bytes, key: str, namespace: str = BUNDLE) -> None:
    """Whether `content` was signed by the private half of `key`. BadSignature, NoOpenSSH.

    Both are bytes: ssh-keygen opens nothing that lies on a medium, where a link or a pipe may lie in a file's place.
    """
    with tempfile.TemporaryDirectory(prefix="cellar-") as folder:
        signers, signed = Path(folder) / "signers", Path(folder) / "signature"
        signers.write_text(f'{WHO} namespaces="{namespace}" {key}\n')
        signed.write_bytes(signature)
        options = ("-f", str(signers), "-I", WHO, "-n", namespace, "-s", str(signed))
        done = _keygen("-Y", "verify", *options, content=content)
    if done.returncode != 0:
        raise BadSignature(
            f"It has no signature by the expected key, {fingerprint(key)}: it was changed, or signed by somebody else. "
            f"ssh-keygen says: {_words(done)}"
        )


def make_key(path: Path) -> None:
    """A key pair without a passphrase, `path` (0600) and `path`.pub. NoOpenSSH."""
    done = _keygen("-q", "-t", "ed25519", "-N", "", "-C", WHO, "-f", str(path))
    if done.returncode != 0:
        raise NoOpenSSH(f"ssh-keygen could not make a key: {_words(done)}")


def _keygen(*arguments: str, content: bytes = b"", limit: float | None = LIMIT) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("ssh-keygen") is None:
        raise NoOpenSSH(
            "There is no ssh-keygen here, which makes and checks signatures. "
            "On Debian: apt-get install openssh-client; on Red Hat: dnf install openssh."
        )
    try:
        done = subprocess.run(["ssh-keygen", *arguments], input=content, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise NoOpenSSH(f"ssh-keygen did not end within {LIMIT:.0f} s.") from None
    if b"unknown option -- Y" in done.stderr or b"illegal option -- Y" in done.stderr:
        raise NoOpenSSH(
            "This ssh-keygen is older than 8.2 (2020) and does not know signatures. Install a newer OpenSSH."
        )
    return done


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join((done.stderr or done.stdout).decode(errors="replace").split())[-300:]
