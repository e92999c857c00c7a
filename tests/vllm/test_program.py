"""The command line `cellar-vllm`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cellar_vllm.program import run

from tests.vllm.test_fit import CONFIG, GPT_OSS, QWEN_NEXT, folder

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return folder(tmp_path / "small-coder", CONFIG)


def test_the_presets_are_listed_with_what_fits(capsys: Capture) -> None:
    assert run(["presets"]) == 0
    out = capsys.readouterr().out
    assert "24gb  (22 GiB)" in out
    assert "chat completion: QuantTrio/Qwen3-Coder-30B-A3B-Instruct-AWQ, Apache-2.0, awq, context 16384" in out
    assert "none is pinned: your copy of the weights records its own" in out


def test_a_reader_that_has_read_enough_is_no_mistake() -> None:
    command = [sys.executable, "-m", "cellar_vllm", "presets"]
    env = os.environ | {"PYTHONPATH": "hub_config"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_fit_shows_the_arithmetic(capsys: Capture) -> None:
    assert run(["fit", "--gpu", "24GB", "--model", "24gb"]) == 0
    out = capsys.readouterr().out
    assert "96 KiB a token" in out
    assert "on 22 GiB" in out and "Longest context: 18" in out


def test_what_is_printed_on_a_box_is_less_to_the_driver_and_its_own_number_is_taken_as_it_is(capsys: Capture) -> None:
    for said, gib in (("24", "22"), ("80GB", "79.1"), ("23034MiB", "22.4941"), ("23.5 GiB", "23.5"), ("32", "32")):
        run(["fit", "--gpu", said, "--model", "16gb-large"])
        assert f" on {gib} GiB, of which" in capsys.readouterr().out


def test_what_does_not_fit_is_said_with_what_would(capsys: Capture) -> None:
    assert run(["fit", "--gpu", "16", "--model", "24gb"]) == 1
    out = capsys.readouterr().out
    assert "It does not fit. With a context of 16384 it needs a card of 22 GiB" in out
    assert run(["fit", "--gpu", "10", "--gpus", "2", "--model", "40gb"]) == 1
    assert "With a context of 32768 it needs 2 cards of 20 GiB each" in capsys.readouterr().out
    assert run(["fit", "--gpu", "24", "--share", "0.0001", "--model", "40gb"]) == 1
    assert "It does not fit. It needs a larger --share" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fit", "--gpu", "24", "--model", "nothing"], "nothing is neither a preset"),
        (["serve", "--preset", "12gb", "--weights", "SMALL"], "no preset '12gb'"),
        (["serve", "--preset", "24gb", "--weights", "SMALL"], "does not hold QuantTrio/Qwen3-Coder"),
        (["serve", "--preset", "24gb", "--weights", "/nowhere"], "/nowhere is not a folder"),
        (["serve", "--weights", "SMALL"], "Say which preset is wanted"),
        (["serve", "--weights", "SMALL", "--gpu", "2", "--context", "32768"], "does not fit on 2 GiB"),
        (["serve", "--weights", "SMALL", "--gpu", "80", "--context", "65536"], "was made for 32768 tokens at most"),
        (["serve", "--weights", "SMALL", "--gpu", "24", "--gpus", "3"], "cannot be spread over 3 cards"),
        (["fit", "--model", "24gb", "--gpu", "24", "--gpus", "3"], "cannot be spread over 3 cards"),
        (["serve", "--weights", "SMALL", "--gpu", "2", "--share", "0.1"], "does not fit on 2 GiB"),
        (["serve", "--weights", "SMALL", "--gpu", "24", "--", "--api-key=x"], "set VLLM_API_KEY"),
        (["serve", "--weights", "SMALL", "--gpu", "24", "--", "--enable_log_requests"], "writes prompts to the log"),
        (["serve", "--weights", "SMALL", "--gpu", "24", "--", "--enable-log-r"], "writes prompts to the log"),
        (["serve", "--weights", "SMALL", "--gpu", "24", "--", "--config=x.yaml"], "any of the options"),
        (["serve", "--weights", "SMALL", "--gpu", "24", "--", "--host=0.0.0.0"], "before the --"),
        (["serve", "--weights", "SMALL", "--gpu", "24", "--host", "0.0.0.0"], "VLLM_API_KEY is not set"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(
    arguments: list[str], says: str, small: Path, capsys: Capture
) -> None:
    assert run([str(small) if each == "SMALL" else each for each in arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--gpu", "big", "no card's memory"),
        ("--gpus", "0", "not a whole number from 1"),
        ("--share", "92", "not a share"),
    ],
)
def test_numbers_that_are_none_are_refused(option: str, value: str, says: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["fit", "--model", "24gb", "--gpu", "24", option, value])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_dry_run_prints_environment_and_command_and_starts_nothing(small: Path, capsys: Capture) -> None:
    assert run(["serve", "--weights", str(small), "--gpu", "24", "--name", "coder", "--dry-run", "--", "--seed=1"]) == 0
    out = capsys.readouterr().out
    for each in (
        "HF_HUB_OFFLINE=1 ",
        "DO_NOT_TRACK=1 ",
        "--scheduling-policy=priority",
        "--max-model-len=32768",
        "--seed=1",
    ):
        assert each in out
    assert "--tool-call-parser" not in out


def test_share_and_bits_of_the_cache_are_counted_and_served_alike(small: Path, capsys: Capture) -> None:
    asked = ["serve", "--weights", str(small), "--gpu", "2", "--share", "0.8", "--kv", "8", "--dry-run"]
    assert run(asked) == 0
    out = capsys.readouterr().out
    assert "--gpu-memory-utilization=0.8" in out and "--kv-cache-dtype=fp8" in out
    (context,) = (line for line in out.splitlines() if "--max-model-len" in line)
    assert run(["fit", "--model", str(small), "--gpu", "2", "--share", "0.8", "--kv", "8"]) == 0
    longest = int(capsys.readouterr().out.partition("Longest context: ")[2].partition(" ")[0])
    assert context.strip(" \\") == f"--max-model-len={longest // 1024 * 1024}"


def test_a_base_model_is_not_served_for_chat_unless_somebody_brings_a_template(tmp_path: Path, capsys: Capture) -> None:
    base = str(folder(tmp_path / "base", CONFIG, template=False))
    asked = ["serve", "--weights", base, "--gpu", "24", "--dry-run"]
    assert run(asked) == 2
    assert "base has no chat template: a base model completes text" in capsys.readouterr().err
    assert run([*asked, "--role", "completion"]) == 0
    assert run([*asked, "--", "--chat-template=mine.jinja"]) == 0


def test_copies_of_a_mixture_of_experts_are_refused_with_what_to_do_instead(tmp_path: Path, capsys: Capture) -> None:
    experts = folder(tmp_path / "experts", CONFIG | {"num_experts": 128})
    assert run(["serve", "--weights", str(experts), "--gpu", "24", "--copies", "2", "--dry-run"]) == 2
    assert "Serve each card by itself, with vllm-router in front" in capsys.readouterr().err
    assert run(["serve", "--weights", str(experts), "--gpu", "24", "--gpus", "2", "--dry-run"]) == 0


def test_fit_says_what_windows_and_states_hold_and_what_it_does_not_count(tmp_path: Path, capsys: Capture) -> None:
    windows = folder(tmp_path / "windows", GPT_OSS)
    assert run(["fit", "--gpu", "16", "--model", str(windows)]) == 0
    assert "and those of the last 128 tokens in 12 layers" in capsys.readouterr().out
    states = folder(tmp_path / "states", QWEN_NEXT)
    assert run(["fit", "--gpu", "16", "--model", str(states)]) == 0
    assert "and 75 MiB a request in layers with a state" in capsys.readouterr().out
    kinds = ["full_attention"] * 4 + ["mamba"] * 20
    assert run(["fit", "--gpu", "16", "--model", str(folder(tmp_path / "m", CONFIG | {"layer_types": kinds}))]) == 0
    assert "what 20 layers of the kind mamba keep is not counted" in capsys.readouterr().out


def test_serving_says_which_commit_the_folder_is_a_copy_of(small: Path, capsys: Capture) -> None:
    asked = ["serve", "--weights", str(small), "--gpu", "24", "--dry-run"]
    assert run(asked) == 0
    assert "commit of the published weights: not recorded by the folder" in capsys.readouterr().err
    record = small / ".cache/huggingface/download/config.json.metadata"
    record.parent.mkdir(parents=True)
    record.write_text("b2cff646\netag\n1.0\n")
    assert run(asked) == 0
    assert "commit of the published weights: b2cff646" in capsys.readouterr().err


def test_a_presets_command_is_shown_before_its_weights_are_here(capsys: Capture) -> None:
    assert run(["serve", "--preset", "24gb", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "vllm \\\n    serve \\\n    /models/Qwen3-Coder-30B-A3B-Instruct-AWQ" in out
    assert "--tool-call-parser=qwen3_coder" in out or "--tool-call-parser=" in out
    assert run(["serve", "--preset", "24gb"]) == 2
    assert "--weights FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--context", "131072"], "does not fit on 22 GiB with a context of 131072"),
        (["--context", "5000000"], "was made for 262144 tokens at most"),
        (["--gpu", "16"], "does not fit on 15.6 GiB"),
    ],
)
def test_a_presets_context_is_counted_too(arguments: list[str], says: str, capsys: Capture) -> None:
    assert run(["serve", "--preset", "24gb", "--dry-run", *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--port", "-5"), ("--port", "99999999"), ("--context", "5")])
def test_ports_and_contexts_that_are_none_are_refused(small: Path, option: str, value: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["serve", "--weights", str(small), "--gpu", "24", "--dry-run", f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}" in capsys.readouterr().err


def test_a_format_of_tools_brings_the_switches_that_belong_to_it(small: Path, capsys: Capture) -> None:
    assert run(["serve", "--weights", str(small), "--gpu", "24", "--tools", "hermes", "--dry-run"]) == 0
    out = capsys.readouterr().out
    for each in ("--enable-auto-tool-choice", "--tool-call-parser=hermes", "--tool-strict-level=parameter"):
        assert each in out
