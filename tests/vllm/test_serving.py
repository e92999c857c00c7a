"""vLLM as a child of `cellar-vllm serve`: how it is started, told to stop, and what is said when it has ended.

A module called vllm stands in for vLLM's entry; `contract` has the real one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from cellar_vllm.ending import AGAIN, NEVER, Ending

from tests.ui.lab import wait_until
from tests.vllm.test_fit import CONFIG, folder

Serve = Callable[..., subprocess.Popen[str]]
SERVES = "print('INFO:     Application startup complete.', flush=True)"
STAYS = "import signal, threading; threading.Event().wait()"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`cellar-vllm serve` with a program of a few lines as vLLM."""
    weights = folder(tmp_path / "small-coder", CONFIG)
    module = tmp_path / "path" / "vllm" / "entrypoints" / "openai"
    module.mkdir(parents=True)
    for each in (module, module.parent, module.parent.parent):
        (each / "__init__.py").touch()
    env = os.environ | {"PYTHONPATH": f"{tmp_path / 'path'}:hub_config", "MINE": "kept"}
    command = [sys.executable, "-m", "cellar_vllm", "serve", "--weights", str(weights), "--gpu", "24"]
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *before: str) -> subprocess.Popen[str]:
        (module / "api_server.py").write_text(program)
        whole = [*before, *command]
        process = subprocess.Popen(
            whole,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a suite that a shell has started with & ignores Ctrl-C, and so would what it starts
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def said(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, (err.splitlines() or [""])[-1]


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_vllm_gets_its_options_its_environment_and_ours(serve: Serve) -> None:
    process = serve("import os, sys\nprint(os.environ['VLLM_NO_USAGE_STATS'], os.environ['MINE'], *sys.argv[2:4])")
    _, out, _ = said(process)
    assert out.split() == ["1", "kept", "--served-model-name=small-coder", "--host=127.0.0.1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_lets_vllm_end_its_answers_and_ends_with_0(serve: Serve, number: signal.Signals) -> None:
    process = serve(
        "import signal, sys, threading\n"
        "stop = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: stop.set())\n"
        f"{SERVES}\n"
        "while not stop.wait(0.05): pass\n"
        "print('the last answer'); sys.exit(3)\n"
    )
    assert first_line(process).endswith("startup complete.")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "the last answer\n")
    assert "vLLM has" not in err


def test_somebody_at_a_terminal_may_break_answers_off_by_a_second_ctrl_c(serve: Serve) -> None:
    process = serve(
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('ends its answers', flush=True))\n"
        f"{SERVES}\n"
        "while True: signal.pause()\n"
    )
    assert first_line(process).endswith("startup complete.")
    process.send_signal(signal.SIGINT)
    assert first_line(process) == "ends its answers"
    process.send_signal(signal.SIGINT)
    status, _, last = said(process)
    assert (status, last) == (0, "cellar-vllm: lets answers end, a minute at most. Ctrl-C once more breaks them off.")


def test_a_log_out_does_not_end_what_nohup_started(serve: Serve) -> None:
    process = serve(f"{SERVES}\n{STAYS}", "nohup")
    assert first_line(process).endswith("startup complete.")
    ignored = Path(f"/proc/{process.pid}/status").read_text().partition("SigIgn:")[2].split()[0]
    assert int(ignored, 16) & 1 << signal.SIGHUP - 1


def test_what_can_never_work_ends_with_2_and_its_cause_as_the_last_line(serve: Serve) -> None:
    words = "To serve at least one request with the model's max seq len (8192), (0.18 GiB KV cache is needed"
    process = serve(f"raise ValueError({words!r})")
    status, _, last = said(process)
    assert status == 2
    assert last == (
        "cellar-vllm: vLLM has ended before it served. A context of 8192 tokens does not fit beside the weights: a "
        "smaller --context, or a larger card. A new start does not help before that is changed."
    )


def test_an_engine_that_dies_while_serving_ends_with_1_whatever_vllm_says(serve: Serve) -> None:
    process = serve(f"{SERVES}\nprint('ERROR EngineCore encountered a fatal error.', end='')")
    status, _, last = said(process)
    assert status == 1
    assert last == (
        "cellar-vllm: vLLM has stopped serving, and was not told to. Its engine died: the first ERROR above says of "
        "what. It has to be started again."
    )


def test_nothing_of_vllm_stays_behind(serve: Serve) -> None:
    """The card's memory is wanted by the next one."""
    stays = f'subprocess.Popen([sys.executable, "-c", "{STAYS}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)'
    process = serve(f"import subprocess, sys\nprint({stays}.pid, flush=True)")
    child = int(first_line(process))
    assert said(process)[0] == 1
    wait_until(lambda: not runs(child), "vLLM's child to be gone")


def test_vllm_goes_with_a_parent_that_was_killed(serve: Serve) -> None:
    process = serve(f"import os\nprint(os.getpid(), flush=True)\n{STAYS}")
    child = int(first_line(process))
    process.kill()
    wait_until(lambda: not runs(child), "vLLM to be gone")


def runs(number: int) -> bool:
    return psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE


KV = "ValueError: To serve at least one request with the model's max seq len (8192), (0.18 GiB KV cache is needed "
FREE = "ValueError: Free memory on device cuda:0 (1.5/23.6 GiB) on startup is less than desired GPU memory utilization "
LONGER = (
    "User-specified max_model_len (99999) is greater than the derived max_model_len (max_position_embeddings=32768 or"
)


@pytest.mark.parametrize(
    ("line", "says", "status"),
    [
        (
            KV + "which is larger. Based on the available memory, the estimated maximum model length is 1920.",
            "1920 would",
            NEVER,
        ),
        ("ValueError: No available memory for the cache blocks. Try", "The weights leave no room", NEVER),
        (LONGER, "reads 32768 tokens at most, and --context says 99999", NEVER),
        (FREE, "1.5 of 23.6 GiB are free. `nvidia-smi` names it", AGAIN),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "The card's memory ran out", AGAIN),
        ("safetensors._safetensors_rust.SafetensorError: Error while", "A file of the weights is damaged", NEVER),
        ("OSError: [Errno 98] Address already in use", "Another program listens on this port", AGAIN),
        (
            "vllm: error: unrecognized arguments: --no-such",
            "vLLM does not know an option behind the --: --no-such",
            NEVER,
        ),
        (
            "KeyError: 'invalid tool call parser: nobody (chose from {",
            "vLLM has no tool call parser called nobody",
            NEVER,
        ),
        ("Model architectures ['FooForCausalLM'] are not supported for now.", "(['FooForCausalLM'])", NEVER),
        ("The repository /m contains custom code which must be executed", "brings code of its own", NEVER),
        ("RuntimeError: No CUDA GPUs are available", "No GPU is found", AGAIN),
        ("ModuleNotFoundError: No module named 'vllm.entrypoints'", "has no whole vLLM (vllm.entrypoints)", NEVER),
        ("/opt/python: No module named vllm", "has no whole vLLM (vllm)", NEVER),
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12020). Please update",
            "The card's driver is too old",
            NEVER,
        ),
        ("RuntimeError: Failed to find C compiler. Please specify via CC", "No C compiler is found", NEVER),
        (
            "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist",
            "there is no nvcc",
            NEVER,
        ),
        ("/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found", "there is no nvcc", NEVER),
        ("OSError: CUDA_HOME environment variable is not set. Please set it", "there is no nvcc", NEVER),
        ("OSError: [Errno 28] No space left on device: '/var/cache/vllm'", "A disk is full", NEVER),
    ],
)
def test_what_vllm_writes_before_it_ends_becomes_a_sentence(line: str, says: str, status: int) -> None:
    ending = Ending()
    for each in (
        "INFO starting",
        f"(EngineCore pid=1) ERROR 11-29 15:02:33 [core.py:1510] {line}",
        "RuntimeError: See",
    ):
        ending.read(each)
    words, ours = ending.told(1)
    assert says in words and ours == status


@pytest.mark.parametrize(
    "before",
    [
        "WARNING 11-29 15:02:30 [usage_lib.py:1] ",
        "(APIServer pid=7) WARNING 11-29 15:02:30 [usage_lib.py:1] ",
        "INFO 11-29 15:02:30 [usage_lib.py:1] ",
        "(EngineCore pid=9) DEBUG 11-29 15:02:30 [usage_lib.py:1] ",
        "INFO:     ",
    ],
)
def test_what_is_only_a_warning_is_no_cause(before: str) -> None:
    ending = Ending()
    ending.read(f"{before}PermissionError: [Errno 13] Permission denied: '/var/lib/vllm/usage_stats.json'")
    ending.read(
        "(EngineCore pid=9) ERROR 11-29 15:02:33 [core.py:1510] ValueError: No available memory for the cache blocks"
    )
    assert "The weights leave no room" in ending.told(1)[0]


def test_a_driver_that_pytorch_only_warns_of_is_the_cause_of_no_gpu() -> None:
    ending = Ending()
    ending.read(
        "/lib/torch/cuda/__init__.py:180: UserWarning: CUDA initialization: The NVIDIA driver on your system is too "
        "old (found version 12020). Please update your GPU driver"
    )
    ending.read("RuntimeError: Failed to infer device type")
    words, status = ending.told(1)
    assert "driver is too old" in words and status == NEVER


def test_of_several_causes_the_first_is_the_root_and_none_of_the_start_counts_when_it_served() -> None:
    ending = Ending()
    ending.read("OSError: [Errno 98] Address already in use")
    ending.read("torch.OutOfMemoryError: CUDA out of memory.")
    assert "Another program listens" in ending.told(1)[0]
    ending.read("INFO:     Application startup complete.")
    assert "Its engine died" in ending.told(0)[0]
    assert "It was killed" in ending.told(-signal.SIGKILL)[0]


def test_an_end_that_is_not_known_points_at_the_log() -> None:
    assert Ending().told(1) == (
        "vLLM has ended before it served. The first ERROR above says why. A new start may help.",
        AGAIN,
    )
