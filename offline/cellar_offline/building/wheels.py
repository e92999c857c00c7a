"""Python packages for the target: locked by hash, wheels alone.

First all that was asked for is resolved into a lock file, one line `name==version --hash=sha256:...` a package; then
exactly that is downloaded. A lock of the site's own (`lock` in offline.toml) is kept there and used as long as what was
asked for is the same, so that what was approved once is what is in the next bundle.

pip judges environment markers by the Python that runs it: so this one must have the target's minor version.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cellar_offline.building import metadata
from cellar_offline.building.metadata import Package
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.progress import Steps
from cellar_offline.building.recipe import Wheels
from cellar_offline.building.store import Store, hash_of
from cellar_offline.manifest import Blob
from cellar_offline.wheels import MACHINES, complaint

ASKED = "# asked for: "
LOCAL = "local-folder"
PIPS = 4  # downloads at a time: more are no faster, and unkind


@dataclass(frozen=True)
class Pin:
    """A line of a lock. `url`: where it is from, without a password."""

    name: str
    version: str
    sha256: str
    url: str

    @property
    def line(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}  # {self.url}"


@dataclass(frozen=True)
class Wheel:
    """A wheel that is in the store. `path` is the release's."""

    path: str
    blob: Blob
    package: Package
    source: str


def gather(
    asked: Wheels, requirements: Sequence[str], platform: str, store: Store, work: Path, steps: Steps
) -> list[Wheel]:
    """All of `requirements` and of `asked.files` with what they need. CannotBuild names what has no wheel."""
    minor = asked.python.rpartition(".")[0]
    if minor != f"{sys.version_info[0]}.{sys.version_info[1]}":
        raise CannotBuild(
            f"Wheels for Python {minor} are chosen by pip of that Python: run this build by python{minor}."
        )
    files = _existing(asked.files)
    wanted = [*requirements, *(f"{_name(path)} @ {path.resolve().as_uri()}" for path in files)]
    folder = work / "wheels" / asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    lock = asked.lock or folder.with_suffix(".lock")
    flags = target_flags(asked.python, asked.glibc, platform)
    pins = _locked(lock, _key(requirements, files, flags)) or _lock(lock, wanted, requirements, files, flags, folder)
    own = {hash_of(path): path for path in files}
    _download([pin for pin in pins if pin.sha256 not in own], flags, folder, steps)
    return [_stored(pin, own, folder, asked, platform, store) for pin in pins]


def target_flags(python: str, glibc: int, platform: str) -> list[str]:
    """For pip: the target's Python and machine, which need not be ours."""
    machine = MACHINES[platform.partition("/")[2]]
    places = [f"manylinux_2_{minor}_{machine}" for minor in range(glibc, 4, -1)]
    places += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"linux_{machine}", "any"]
    tag = "cp" + "".join(python.split(".")[:2])
    abis = [word for abi in (tag, "abi3", "none") for word in ("--abi", abi)]
    words = [word for place in places for word in ("--platform", place)]
    return ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", *abis, *words]


# --- the lock


def _lock(
    lock: Path,
    wanted: Sequence[str],
    requirements: Sequence[str],
    files: Sequence[Path],
    flags: Sequence[str],
    folder: Path,
) -> list[Pin]:
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        report, asked = Path(place) / "report.json", Path(place) / "asked.txt"
        asked.write_text("\n".join(wanted) + "\n")
        target = ["--target", str(Path(place) / "none"), *flags]
        _pip("install", "--dry-run", "--ignore-installed", "--report", str(report), *target, "-r", str(asked))
        pins = pins_of(json.loads(report.read_text()))
    lines = [f"{ASKED}{_key(requirements, files, flags)}", *(pin.line for pin in pins)]
    unfinished = lock.with_name(lock.name + ".part")
    unfinished.write_text("\n".join(lines) + "\n")
    unfinished.replace(lock)
    return pins


def pins_of(report: Any) -> list[Pin]:
    """From pip's installation report (https://pip.pypa.io/en/stable/reference/installation-report). CannotBuild."""
    pins = []
    for row in report["install"]:
        name, version = row["metadata"]["name"], row["metadata"]["version"]
        download = row["download_info"]
        path = urlsplit(download["url"]).path
        if not path.endswith(".whl"):
            raise _no_wheel(f"{name} {version}")
        found = download.get("archive_info", {})
        sha256 = found.get("hashes", {}).get("sha256") or found.get("hash", "").removeprefix("sha256=")
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise CannotBuild(f"{name} {version} has no sha256 where it comes from, and so cannot be locked.")
        pins.append(Pin(name, version, sha256, shown(download["url"])))
    return sorted(pins, key=lambda pin: pin.name.lower())


def _locked(lock: Path, key: str) -> list[Pin] | None:
    """None when there is no lock, or one of something else. CannotBuild when a line is none."""
    if not lock.is_file():
        return None
    head, *lines = lock.read_text().splitlines() or [""]
    if head != ASKED + key:
        return None
    pins = []
    for number, line in enumerate(lines, 2):
        found = re.fullmatch(r"([\w.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})  # (\S+)", line)
        if found is None:
            raise CannotBuild(f"{lock}, line {number} is no line of a lock. Delete the file, and it is made anew.")
        pins.append(Pin(*found.groups()))
    return pins


def _key(requirements: Sequence[str], files: Sequence[Path], flags: Sequence[str]) -> str:
    """Of what was asked for, the hashes of wheels made here included."""
    whole = [sorted(requirements), sorted(hash_of(path) for path in files), list(flags)]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def shown(url: str) -> str:
    """An address for papers: whoever reads them needs no password, and a local file's folder is nobody's business."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LOCAL
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


# --- downloading


def _download(pins: Sequence[Pin], flags: Sequence[str], folder: Path, steps: Steps) -> None:
    """Into `folder`, several at a time; what is there with its hash stays."""
    there = {hash_of(path) for path in folder.glob("*.whl")}
    lacking = [pin for pin in pins if pin.sha256 not in there]
    pips = min(PIPS, len(lacking) // 8 + 1)

    def fetch(place: int) -> None:
        asked = folder / f".asked-{place}.txt"
        asked.write_text("".join(f"{pin.line}\n" for pin in lacking[place::pips]))
        _pip("download", "--no-deps", "--require-hashes", "-d", str(folder), *flags, "-r", str(asked))
        asked.unlink()

    if lacking:
        steps.done(f"downloading {len(lacking)} packages for {folder.name}")
        with ThreadPoolExecutor(pips) as pool:
            list(pool.map(fetch, range(pips)))


def _stored(pin: Pin, own: dict[str, Path], folder: Path, asked: Wheels, platform: str, store: Store) -> Wheel:
    path = own.get(pin.sha256) or next((each for each in folder.glob("*.whl") if hash_of(each) == pin.sha256), None)
    if path is None:
        raise CannotBuild(f"{pin.name} {pin.version} was not downloaded with the hash of its lock.")
    if problem := complaint(path.name, asked.python.rpartition(".")[0], platform):
        raise CannotBuild(f"{problem}.")
    try:
        package = metadata.of_wheel(path)
    except ValueError as error:
        raise CannotBuild(f"{path.name} is no wheel: {error}.") from None
    return Wheel(f"wheels/{asked.folder}/{path.name}", store.file(path, sha256=pin.sha256), package, pin.url)


def _existing(paths: Sequence[Path]) -> list[Path]:
    """Wheels that patterns of offline.toml mean. CannotBuild when one means none."""
    found: list[Path] = []
    for path in paths:
        matching = sorted(path.parent.glob(path.name))
        if not matching:
            raise CannotBuild(f"There is no {path} (`make wheel` makes Cellar's own).")
        if wrong := next((each for each in matching if each.suffix != ".whl"), None):
            raise _no_wheel(wrong.name)
        found += matching
    return found


def _name(path: Path) -> str:
    return path.name.partition("-")[0]


def _no_wheel(what: str) -> CannotBuild:
    return CannotBuild(
        f"{what} has no wheel for the target: a source distribution is refused, because it runs its author's code and "
        "a compiler where it is installed. Take another version, or make a wheel of it and name it in `files`."
    )


def _pip(*arguments: str) -> None:
    """CannotBuild with pip's own words, or the package that has no wheel."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if found := re.search(r"No matching distribution found for ([^\s(]+(?: ?[<>=!~][^\s(]+)?)", said):
        raise _no_wheel(found[1])
    raise CannotBuild(f"pip {arguments[0]} failed:\n{said[-1500:]}")
