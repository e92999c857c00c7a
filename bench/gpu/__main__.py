"""`python -m bench.gpu --preset 24gb --python /opt/cellar-vllm/bin/python`: a preset on this machine's GPU, in one go.

Weights of the preset's real shape are made here, of random numbers, so nothing is downloaded; on a card that is larger
than the preset's, vLLM takes as much as that one has. Written to FOLDER/RESULTS.md in the form of bench/RESULTS.md.
Some ten minutes; up to 30 GB of disk. `--shape tiny` goes the same way on a processor: a trial of the script, its
figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from cellar_vllm import presets

from bench import machine, prefix, stage, vllm_serve
from bench.gpu import memory, stopping
from bench.gpu.card import Card, card
from bench.gpu.plan import CPU_GIB, Plan
from bench.report import Row, Section
from tests.browser import chromium
from tests.vllm.contract.conftest import Served, serving
from tools import vllm_cpu

PACKAGES = ("starlette", "uvicorn", "httpx", "aiohttp")
TURNS = "Ten turns in the panel; where the context is too short for them, the oldest leave and the rest is read again."
STOP = "From a closed connection until nothing runs by vLLM's metrics."
CONTRACT = "The contract"
SENSE = "tool_is_called or streamed_tool_call or json_schema"  # a random model fills a grammar without end
PATIENCE = 600.0  # seconds, for loading, compiling, capturing graphs


def parser() -> argparse.ArgumentParser:
    program = argparse.ArgumentParser(
        prog="python -m bench.gpu", description="Measures a preset on this machine's GPU."
    )
    program.add_argument("--preset", default="24gb", choices=list(presets.load()))
    program.add_argument("--role", default="", help="chat or completion, where a preset serves two models")
    program.add_argument("--shape", choices=["real", "tiny"], default="real", help="tiny: a trial, also on a processor")
    program.add_argument("--python", type=Path, help="of vLLM's environment (without a GPU: the tests' own)")
    program.add_argument("--out", type=Path, default=Path("bench/out/gpu"), metavar="FOLDER")
    program.add_argument(
        "--learned",
        type=Path,
        metavar="FOLDER",
        help="a small model that has learned to speak, for all of the contract",
    )
    program.add_argument("--no-contract", action="store_true", help="leave out the tests of tests/vllm/contract")
    program.add_argument("options", nargs="*", metavar="-- OPTION", help="options for vLLM, as they are")
    return program


def measure(plan: Plan) -> list[Section]:
    before = plan.card
    folder = plan.make(plan.tiny)
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as place:
        home = Path(place)
        began = time.perf_counter()
        with _served(plan, home, folder) as served:
            ready = Row("from the start until it answers", time.perf_counter() - began, "s")
            sections = [_memory(plan, folder, served, before, ready)]
            with vllm_serve.behind_gateway(home, served) as (gateway, token):
                speed = part(
                    "vllm bench serve",
                    f"{plan.load}.",
                    lambda: vllm_serve.compare(home, served, gateway, token, plan.load),
                )
                stop = part("Stop", STOP, lambda: stopping.rows(served, gateway, token))
            reuse = part("What of a conversation is read twice", TURNS, lambda: _prefix(served))
    return [*sections, speed, stop, reuse]


def _memory(plan: Plan, folder: Path, served: Served, before: Card | None, ready: Row) -> Section:
    assert served.log is not None
    now = card()
    used = now.used - before.used if now and before else None
    preset = None if plan.tiny else plan.wanted.weights.size
    rows = memory.rows(memory.read(served.log.read_text(errors="replace")), plan.fit(folder), used, preset)
    version = httpx.get(f"{served.root}/version", trust_env=False).json()["version"]
    shape = f"the {'small' if plan.tiny else 'real'} shape of {plan.wanted.model}, random weights"
    return Section("Memory", f"vLLM {version}, {shape}; context {plan.context}.", [*rows, ready])


@contextlib.contextmanager
def _served(plan: Plan, home: Path, folder: Path) -> Iterator[Served]:
    env = {} if plan.card else {"VLLM_CPU_KVCACHE_SPACE": str(CPU_GIB)}
    try:
        with serving(home, plan.python, folder, plan.asked(plan.tiny), plan.context, env, PATIENCE) as served:
            yield served
    except AssertionError as problem:
        raise SystemExit(str(problem)) from None


def _prefix(served: Served) -> list[Row]:
    if chromium() is None:
        raise SystemExit("Chromium is missing (apt-get install chromium)")
    with stage.browser() as running:
        return prefix.rows(prefix.talk(running, served)[0])


def contract(plan: Plan, learned: Path | None) -> Section:
    """The tests of tests/vllm/contract on this GPU, with a small model: two servers of it start beside each other."""
    options = plan.asked(True)
    other = {
        "python": str(plan.python),
        "weights": str(learned or plan.make(True)),
        "options": options[: options.index("--")],
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not long", "tests/vllm/contract"]
    if learned is None:
        command += ["-k", f"not ({SENSE})"]
    env = vllm_cpu.OFFLINE | {"CELLAR_TEST_VLLM": json.dumps(other)}
    done = subprocess.run(command, cwd=machine.ROOT, env=os.environ | env, capture_output=True, text=True)
    log = plan.out / "contract.log"
    log.write_text(done.stdout + done.stderr)
    last = done.stdout.strip().rpartition("\n")[2]
    print(f"contract: {last} ({log})", flush=True)
    left_out = "" if learned else "; those that want a model which has learned something are left out (--learned)"
    return part(CONTRACT, f"tests/vllm/contract{left_out}.", lambda: contract_rows(done.returncode, last))


def contract_rows(status: int, last: str) -> list[Row]:
    """Of pytest's exit status and its last line. SystemExit: no tests were run."""
    counts = {what: int(count) for count, what in re.findall(r"(\d+) (passed|failed|error)", last)}
    bad = counts.get("failed", 0) + counts.get("error", 0)
    if status != 0 and not bad:
        raise SystemExit(f"pytest ended with {status}: {last}")
    return [
        Row("tests passed", counts.get("passed", 0), "times", detail=last),
        Row("tests failed", bad, "times", 0),
    ]


def part(title: str, how: str, measured: Callable[[], list[Row]]) -> Section:
    """No rows, and the reason, where it could not be measured: what was measured before it stays."""
    try:
        rows = measured()
        if not rows:
            raise SystemExit("it gave no figures")
        return Section(title, how, rows)
    except (SystemExit, AssertionError, httpx.HTTPError) as problem:
        why = f"{how} **Not measured**: {problem or type(problem).__name__}"
        print(f"{title}: {why}", flush=True)
        return Section(title, why, [])


def failed(section: Section) -> bool:
    """Whether it could not be measured, or is the contract and was not kept."""
    return not section.rows or (section.title == CONTRACT and any(row.met is False for row in section.rows))


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    plan = Plan(options)
    plan.out.mkdir(parents=True, exist_ok=True)
    sections = measure(plan)
    if plan.card is not None and not options.no_contract:
        sections.append(contract(plan, options.learned))
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    where = f"{plan.card or 'no GPU'}; {machine.description(PACKAGES)}"
    head = f"# Preset {plan.preset.name}, measured\n\n_Measured {when} at commit {machine.commit()} on {where}._\n"
    text = "\n".join([head, *(section.text() for section in sections)])
    (plan.out / "RESULTS.md").write_text(text)
    print(f"{text}\nwritten to {plan.out / 'RESULTS.md'}; the weights stay in {plan.out / 'weights'}", flush=True)
    wrong = ", ".join(section.title for section in sections if failed(section))
    if wrong:
        print(f"failed or not measured: {wrong}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
