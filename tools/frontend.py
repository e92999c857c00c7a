"""The lab extension's build: made when its sources changed, and only then.

    python -m tools.frontend            build if the sources changed, then link it for JupyterLab
    python -m tools.frontend --force    build in any case
    python -m tools.frontend --check    say whether the build is fresh; exit status 1 when it is not

`.source-hash` in the build's output is the SHA-256 of everything the build reads. Times of files would not do: git
gives every file of a fresh clone the same one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "labextension"
OUTPUT = ROOT / "jupyter_ext" / "cellar_jupyter" / "labextension"
STAMP = OUTPUT / ".source-hash"
NPM_NAME = "@cellar/lab"
# What the build reads, relative to SOURCES. Tests, lint and editor settings are not among it.
BUILD_INPUTS = ("src", "style", "schema")
BUILD_FILES = ("package.json", "yarn.lock", "tsconfig.json", ".yarnrc.yml", "install.json")


def source_hash() -> str:
    """SHA-256 over names and contents of everything the build reads."""
    files = [SOURCES / name for name in BUILD_FILES]
    for folder in BUILD_INPUTS:
        files += (p for p in (SOURCES / folder).rglob("*") if "__tests__" not in p.parts and ".test." not in p.name)
    digest = hashlib.sha256()
    for path in sorted(p for p in files if p.is_file()):
        digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def staleness() -> str:
    """Why the build cannot be used as it is; empty when it can."""
    if not (OUTPUT / "package.json").is_file():
        return "The lab extension is not built."
    if not STAMP.is_file() or STAMP.read_text().strip() != source_hash():
        return "The lab extension's build is older than its sources."
    return ""


def say(message: str) -> None:
    print(f"  {message}", flush=True)


def environment() -> dict[str, str]:
    """The environment with this Python's programs and a Node.js >= 20 first on PATH, and nothing asking questions."""
    from tools.node import node_folder

    path = [str(Path(sys.executable).parent), str(node_folder()), os.environ.get("PATH", "")]
    return {**os.environ, "PATH": os.pathsep.join(path), "YARN_ENABLE_TELEMETRY": "0", "CI": os.environ.get("CI", "")}


def install_packages() -> None:
    """`jlpm install`, unless node_modules already holds what yarn.lock says."""
    lock = SOURCES / "yarn.lock"
    state = SOURCES / "node_modules" / ".cellar-lock"
    wanted = hashlib.sha256(lock.read_bytes() + (SOURCES / "package.json").read_bytes()).hexdigest()
    if state.is_file() and state.read_text() == wanted:
        return
    say("fetching the lab extension's packages (about a minute, once)")
    run(["jlpm", "install", "--immutable"])
    state.write_text(wanted)


def run(command: list[str]) -> None:
    """Run in labextension/; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=SOURCES, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.stdout.write(done.stdout.decode(errors="replace")[-8000:])
        raise SystemExit(f"`{' '.join(command)}` failed in labextension/ (exit status {done.returncode}).")


def build(force: bool = False) -> None:
    """Make OUTPUT from the sources when it is missing or stale."""
    if not force and not staleness():
        return
    wanted = source_hash()
    install_packages()
    say("building the lab extension")
    run(["jlpm", "build:prod"])
    STAMP.write_text(wanted + "\n")


def link() -> None:
    """Let the JupyterLab of this Python find OUTPUT where it stands, as `pip install WHEEL` would have copied it."""
    place = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / NPM_NAME
    if place.is_symlink() and place.resolve() == OUTPUT.resolve():
        return
    if place.exists() or place.is_symlink():
        import shutil

        place.unlink() if place.is_symlink() else shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(OUTPUT, target_is_directory=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.frontend", description="Build the lab extension.")
    parser.add_argument("--force", action="store_true", help="build although nothing changed")
    parser.add_argument("--check", action="store_true", help="build nothing; exit 1 when the build is missing or stale")
    options = parser.parse_args()
    if options.check:
        raise SystemExit(staleness() or 0)
    build(force=options.force)
    link()


if __name__ == "__main__":
    main()
