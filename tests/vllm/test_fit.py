"""What fits on a card, and the numbers of the presets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cellar_vllm.fit import fit, least_gpu, reads, spread
from cellar_vllm.presets import BadPreset, find, load
from cellar_vllm.weights import GIB, BadWeights, Weights, read

QWEN_7B = Weights("7b", 14.2 * GIB, layers=28, kv_heads=4, head_dim=128, context=32768)

CONFIG = {
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "max_position_embeddings": 32768,
}


def safetensors(size: int) -> bytes:
    """A whole file of one tensor; in all `size` bytes."""
    head = json.dumps({"weight": {"dtype": "U8", "shape": [size - 200], "data_offsets": [0, size - 200]}}).ljust(192)
    return len(head).to_bytes(8, "little") + head.encode() + b"0" * (size - 200)


def folder(path: Path, config: dict[str, object], size: int = 1000, template: bool = True) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")
    for number in (1, 2):
        (path / f"model-0000{number}-of-00002.safetensors").write_bytes(safetensors(size))
    if template:
        (path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    return path


# --- arithmetic


def test_a_token_holds_a_key_and_a_value_in_every_head_of_every_layer() -> None:
    assert QWEN_7B.kv_bytes() == 2 * 28 * 4 * 128 * 2 == 56 * 1024
    assert QWEN_7B.kv_bytes(number=1) == 28 * 1024


def test_seven_billion_numbers_of_16_bits_do_not_fit_on_16_gib() -> None:
    room = fit(QWEN_7B, 16 * GIB)
    assert room.room < 0
    assert room.tokens == 0
    assert room.context == 0
    assert room.requests(1024) == 0


def test_they_do_on_24_gib_with_room_for_twenty_five_requests() -> None:
    room = fit(QWEN_7B, 24 * GIB)
    assert room.tokens == int((24 * 0.92 - 14.2 - 1.5) * GIB // (56 * 1024)) // 16 * 16
    assert room.requests(4096) == room.tokens // 4096 == 29
    assert room.context == 32768


def test_a_request_longer_than_the_context_is_none() -> None:
    assert fit(QWEN_7B, 24 * GIB).requests(40000) == 0


def test_the_least_card_is_the_one_on_which_it_just_fits() -> None:
    least = least_gpu(QWEN_7B, 8192)
    assert fit(QWEN_7B, least).tokens == pytest.approx(8192, abs=16)
    assert fit(QWEN_7B, least - GIB).tokens < 8192


@pytest.mark.parametrize("gpus", [1, 2, 4])
@pytest.mark.parametrize("kv", [1, 2])
@pytest.mark.parametrize("size", [14, 60, 66, 130, 139, 300])  # on either side of where steps become larger
def test_the_least_card_knows_of_several_cards_of_the_cache_and_of_windows(gpus: int, kv: int, size: float) -> None:
    weights = Weights("m", size * GIB, 30, 4, 128, 131072, windowed=30, window=1024)
    least = least_gpu(weights, 32768, gpus=gpus, share=0.9, kv_number=kv)
    assert fit(weights, least + 1, gpus=gpus, share=0.9, kv_number=kv).requests(32768) == 1
    smaller = fit(weights, least * 0.999, gpus=gpus, share=0.9, kv_number=kv)
    assert smaller.requests(32768) == 0 or smaller.step < fit(weights, least).step


@pytest.mark.parametrize(("gib", "tokens"), [(22, 2048), (79.1, 8192), (139.8, 8192), (178, 16384)])
def test_a_prompt_is_read_in_the_steps_of_vllm(gib: float, tokens: int) -> None:
    assert reads(gib * GIB) == tokens


def test_two_cards_share_weights_and_heads() -> None:
    assert fit(QWEN_7B, 16 * GIB, gpus=2).tokens == int((32 * 0.92 - 14.2 - 3) * GIB // (56 * 1024)) // 16 * 16


def test_more_cards_than_heads_keep_copies_of_the_keys() -> None:
    assert fit(QWEN_7B, 80 * GIB, gpus=8).kv_bytes == 2 * QWEN_7B.kv_bytes()


def test_fp8_in_the_cache_doubles_the_tokens() -> None:
    once, twice = (fit(QWEN_7B, 24 * GIB, kv_number=number).tokens for number in (2, 1))
    assert twice == pytest.approx(2 * once, abs=32)


# --- folders


def test_a_folder_is_read_as_vllm_reads_it(tmp_path: Path) -> None:
    weights = read(folder(tmp_path / "m", CONFIG))
    assert (weights.layers, weights.kv_heads, weights.head_dim, weights.context) == (28, 4, 128, 32768)
    assert weights.size == 2000
    assert weights.chat
    assert weights.quantisation == ""


GPT_OSS = CONFIG | {
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 131072,
    "sliding_window": 128,
    "num_local_experts": 32,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
}
# The language part of published Gemma 3 models, with what it leaves out.
ROPE = {"factor": 8.0, "rope_type": "linear"}
GEMMA_4B = {
    "hidden_size": 2560,
    "intermediate_size": 10240,
    "model_type": "gemma3_text",
    "num_hidden_layers": 34,
    "rope_scaling": ROPE,
    "sliding_window": 1024,
}
GEMMA_12B = GEMMA_4B | {
    "hidden_size": 3840,
    "intermediate_size": 15360,
    "num_attention_heads": 16,
    "num_hidden_layers": 48,
    "num_key_value_heads": 8,
}
GEMMA = GEMMA_12B | {
    "head_dim": 128,
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "num_attention_heads": 32,
    "num_hidden_layers": 62,
    "num_key_value_heads": 16,
}
# Published models whose layers are told in a way of their own: what stands for that, with other numbers around it.
LLAMA_4 = CONFIG | {"num_hidden_layers": 48, "attention_chunk_size": 8192, "no_rope_layers": []}
GEMMA_3N = CONFIG | {
    "num_hidden_layers": 30,
    "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 6,
    "sliding_window": 512,
    "num_kv_shared_layers": 10,
}
JAMBA = CONFIG | {"num_hidden_layers": 32, "attn_layer_period": 8, "attn_layer_offset": 4}
MINICPM_3 = CONFIG | {
    "model_type": "minicpm3",
    "hidden_size": 2560,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
    "kv_lora_rank": 256,
    "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 32,
}
DEEPSEEK = CONFIG | {"model_type": "deepseek_v3", "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64}
QWEN_NEXT = CONFIG | {
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "max_position_embeddings": 262144,
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
}


@pytest.mark.parametrize(
    ("config", "whole", "windowed", "window"),
    [
        (GPT_OSS, 12, 12, 128),
        (GEMMA, 10, 52, 1024),
        (GEMMA | {"sliding_window_pattern": 2}, 31, 31, 1024),
        (GEMMA | {"sliding_window_pattern": "LLLG"}, 15, 47, 1024),
        (CONFIG | {"sliding_window": 4096}, 0, 28, 4096),
        (CONFIG | {"sliding_window": 4096, "use_sliding_window": False}, 28, 0, 0),
        (CONFIG | {"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 21}, 21, 7, 4096),
        (CONFIG | {"sliding_window": 32768}, 28, 0, 0),
        (CONFIG | {"sliding_window": None}, 28, 0, 0),
        (LLAMA_4, 12, 36, 8192),
        (LLAMA_4 | {"no_rope_layers": [1, 0] * 24}, 24, 24, 8192),
        (LLAMA_4 | {"layer_types": ["chunked_attention"] * 40 + ["full_attention"] * 8}, 8, 40, 8192),
        (GEMMA_3N, 4, 16, 512),
    ],
)
def test_a_window_is_read_from_the_list_of_layers_or_from_what_stands_for_it(
    tmp_path: Path, config: dict[str, object], whole: int, windowed: int, window: int
) -> None:
    weights = read(folder(tmp_path / "m", config))
    assert (weights.layers, weights.windowed, weights.window) == (whole, windowed, window)
    assert weights.unknown == ""


def test_a_window_holds_no_more_than_itself_and_what_is_being_read(tmp_path: Path) -> None:
    weights = read(folder(tmp_path / "m", GPT_OSS))
    layer = 2 * 8 * 64 * 2
    assert weights.kv_bytes() == 12 * layer
    assert weights.request_bytes(100) == 24 * 100 * layer
    assert weights.request_bytes(5000) == 12 * 5000 * layer + 12 * 128 * layer
    room = fit(weights, 24 * GIB)
    assert room.request_bytes(10000) == 12 * 10000 * layer + 12 * (128 + 4096) * layer
    assert room.requests(10000) == room.room // room.request_bytes(10000)
    assert fit(weights, 80 * GIB).request_bytes(32768) == 12 * 32768 * layer + 12 * (128 + 16384) * layer


def test_where_every_layer_has_a_window_the_context_costs_nothing_past_it(tmp_path: Path) -> None:
    weights = read(folder(tmp_path / "m", CONFIG | {"sliding_window": 4096}))
    room = fit(weights, 3 * GIB)
    assert room.context == 32768
    assert room.requests(32768) == room.requests(8192) == room.room // (28 * 2 * 4 * 128 * 2 * (4096 + 4096))


def test_a_state_is_held_twice_by_each_request_however_long_it_is(tmp_path: Path) -> None:
    weights = read(folder(tmp_path / "m", QWEN_NEXT))
    convolution, matrices = (2 * 16 * 128 + 32 * 128) * 3 * 2, 32 * 128 * 128 * 2
    assert weights.layers == 12
    assert weights.state == 36 * 2 * (convolution + matrices)
    assert weights.request_bytes(1000) == 1000 * weights.kv_bytes() + weights.state
    wide = read(folder(tmp_path / "n", QWEN_NEXT | {"mamba_ssm_dtype": "float32"}))
    assert wide.state == 36 * 2 * (convolution + 2 * matrices)


def test_what_is_not_computed_is_said_and_nothing_known_is_refused(tmp_path: Path) -> None:
    kinds = ["full_attention"] * 4 + ["mamba"] * 20
    weights = read(folder(tmp_path / "m", CONFIG | {"layer_types": kinds}))
    assert (weights.layers, weights.unknown) == (4, "what 20 layers of the kind mamba keep is not counted")
    jamba = read(folder(tmp_path / "j", JAMBA))
    assert (jamba.layers, jamba.unknown) == (4, "what 28 layers of the kind mamba keep is not counted")
    other = read(folder(tmp_path / "n", CONFIG | {"hybrid_override_pattern": "M-M*"}))
    assert other.layers == 28 and "all are counted as whole context" in other.unknown
    with pytest.raises(
        BadWeights, match=r"what its layers keep is not known: 1 layers of the kind mamba, 1 layers of the kind moe"
    ):
        read(folder(tmp_path / "o", CONFIG | {"layer_types": ["mamba", "moe"]}))


def test_heads_are_divided_evenly_among_cards_or_not_at_all(tmp_path: Path) -> None:
    weights = read(folder(tmp_path / "m", CONFIG))  # 28 heads, 4 of keys and values
    assert [gpus for gpus in range(1, 9) if not spread(weights, gpus)] == [1, 2, 4]
    assert spread(weights, 3) == (
        "m cannot be spread over 3 cards: it has 28 heads of attention and 4 heads of keys and values, which are "
        "divided evenly. Possible: 1, 2, 4."
    )
    latent = read(folder(tmp_path / "n", DEEPSEEK))
    assert not spread(latent, 7)


def test_the_commit_is_what_the_download_wrote_down(tmp_path: Path) -> None:
    made = folder(tmp_path / "m", CONFIG)
    assert read(made).revision == ""
    record = made / ".cache/huggingface/download/config.json.metadata"
    record.parent.mkdir(parents=True)
    record.write_text("b2cff646eb4bb1d68355c01b18ae02e7cf42d120\netag\n1764428400.0\n")
    assert read(made).revision == "b2cff646eb4bb1d68355c01b18ae02e7cf42d120"


def test_a_latent_is_kept_once_for_all_heads_and_whole_on_every_card(tmp_path: Path) -> None:
    weights = read(folder(tmp_path / "m", DEEPSEEK | {"num_hidden_layers": 27}))
    assert weights.kv_bytes() == 27 * (512 + 64) * 2
    assert fit(weights, 80 * GIB, gpus=4).kv_bytes == 4 * weights.kv_bytes()


def test_a_latent_is_counted_only_for_models_of_which_vllm_keeps_one(tmp_path: Path) -> None:
    weights = read(folder(tmp_path / "m", MINICPM_3))
    assert (weights.latent, weights.head_dim) == (0, 96)
    assert weights.kv_bytes() == 28 * 2 * 40 * 96 * 2


@pytest.mark.parametrize(
    ("config", "shape"),
    [(GEMMA_4B, (8, 4, 256, 5, 29)), (GEMMA_12B, (16, 8, 256, 8, 40)), (GEMMA, (32, 16, 128, 10, 52))],
)
def test_what_published_gemma_3_configurations_leave_out_is_known(
    tmp_path: Path, config: dict[str, object], shape: tuple[int, ...]
) -> None:
    weights = read(folder(tmp_path / "m", {"model_type": "gemma3", "text_config": config}))
    assert (weights.heads, weights.kv_heads, weights.head_dim, weights.layers, weights.windowed) == shape
    assert (weights.context, weights.window, weights.unknown) == (131072, 1024, "")


YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("said", "context"),
    [
        ({"rope_scaling": YARN}, 32768),  # vLLM 0.32 does not multiply: the folder has to say 131072 beside it
        ({"rope_scaling": YARN, "max_position_embeddings": 131072}, 131072),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 65536),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 3.0}}, 98304),
        ({"rope_scaling": {"type": "linear", "factor": None}}, 32768),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}}, 65536),
        ({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0}}}, 65536),
        ({"rope_scaling": {"type": "longrope", "short_factor": [1.0]}, "max_position_embeddings": 131072}, 131072),
        ({"model_max_length": 65536}, 65536),
        ({"seq_length": 8192}, 8192),
    ],
)
def test_the_context_is_what_vllm_derives(tmp_path: Path, said: dict[str, object], context: int) -> None:
    assert read(folder(tmp_path / "m", CONFIG | said)).context == context


def test_a_folder_that_is_called_by_a_dot_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = folder(tmp_path / "small-coder", CONFIG)
    (tmp_path / "current").symlink_to(made)
    monkeypatch.chdir(made)
    assert read(Path(".")).name == "small-coder"
    assert read(tmp_path / "current").name == "current"


def test_weights_that_are_there_in_two_forms_count_once(tmp_path: Path) -> None:
    made = folder(tmp_path / "m", CONFIG)
    (made / "consolidated.safetensors").write_bytes(b"0" * 5000)
    assert read(made).size == 2000


def test_an_adapter_beside_them_does_not_count(tmp_path: Path) -> None:
    made = folder(tmp_path / "m", CONFIG)
    (made / "adapter_model.safetensors").write_bytes(b"0" * 5000)
    assert read(made).size == 2000


def test_a_model_that_also_sees_is_read_at_its_language_part(tmp_path: Path) -> None:
    assert read(
        folder(tmp_path / "m", {"text_config": CONFIG, "quantization_config": {"quant_method": "fp8"}})
    ) == Weights("m", 2000, 28, 4, 128, 32768, "fp8", heads=28)


def test_a_model_without_a_chat_template_is_no_chat_model(tmp_path: Path) -> None:
    assert not read(folder(tmp_path / "m", CONFIG, template=False)).chat


def test_mistrals_own_tokenizer_needs_no_template_where_vllm_takes_it(tmp_path: Path) -> None:
    made = folder(tmp_path / "m", CONFIG, template=False)
    (made / "tekken.json").write_text("{}")
    assert not read(made).chat  # vLLM takes it with weights in Mistral's own form only
    (made / "consolidated.safetensors").write_bytes(b"")
    assert read(made).chat


def test_a_tokenizers_configuration_that_is_none_has_no_template(tmp_path: Path) -> None:
    made = folder(tmp_path / "m", CONFIG)
    (made / "tokenizer_config.json").write_text("[]")
    assert not read(made).chat


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[]", "cannot be read: it is no table"),
        ("null", "cannot be read: it is no table"),
        (CONFIG | {"quantization_config": "fp8"}, "quantization_config is no table"),
        (CONFIG | {"quantization_config": ["fp8"]}, "quantization_config is no table"),
        (CONFIG | {"text_config": [1]}, "text_config is no table"),
        (CONFIG | {"rope_scaling": [1]}, "rope_scaling is no table"),
        (CONFIG | {"max_position_embeddings": float("inf")}, "max_position_embeddings is inf"),
        (CONFIG | {"max_position_embeddings": 1e308}, "max_position_embeddings is 1e+308"),
        (CONFIG | {"max_position_embeddings": -1}, "max_position_embeddings is -1"),
        (CONFIG | {"max_position_embeddings": "32768"}, "max_position_embeddings is '32768'"),
        (CONFIG | {"rope_scaling": {"type": "linear", "factor": -2.0}}, "the context is -65536.0"),
        (CONFIG | {"num_attention_heads": -28}, "num_attention_heads is -28"),
        (CONFIG | {"num_key_value_heads": -4}, "num_key_value_heads is -4"),
        (CONFIG | {"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        (CONFIG | {"head_dim": float("nan")}, "head_dim is nan"),
        (CONFIG | {"sliding_window": float("inf")}, "cannot convert float infinity to integer"),
        (CONFIG | {"sliding_window": -4096}, "sliding_window is -4096"),
        (CONFIG | {"hidden_size": 12}, "the size of a head is 0"),
    ],
)
def test_a_configuration_of_no_model_is_refused_in_words(tmp_path: Path, config: object, says: str) -> None:
    made = folder(tmp_path / "m", CONFIG)
    (made / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(BadWeights, match=re.escape(says)):
        read(made)


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda path: None, "is not a folder"),
        (lambda path: path.mkdir(), "holds no *.safetensors"),
        (lambda path: (path.mkdir(), (path / "m.gguf").write_bytes(b"")), "GGUF files are for llama.cpp"),
        (lambda path: (path.mkdir(), (path / "m.safetensors").write_bytes(b"")), "holds no config.json"),
        (lambda path: folder(path, {"hidden_size": 12}), "does not say what a language model's says"),
        (lambda path: folder(path, CONFIG | {"num_attention_heads": 0, "num_key_value_heads": 0}), "does not say"),
    ],
)
def test_a_folder_that_cannot_be_served_is_refused_in_words(tmp_path: Path, prepare, says: str) -> None:  # type: ignore[no-untyped-def]
    prepare(tmp_path / "m")
    with pytest.raises(BadWeights, match=says.replace("*", r"\*")):
        read(tmp_path / "m")


# --- presets


def test_every_preset_fits_on_its_card_with_its_whole_context_and_a_tenth_to_spare() -> None:
    for preset in load().values():
        assert sum(serve.share for serve in preset.serve) <= 0.93, preset.name
        for serve in preset.serve:
            room = fit(serve.weights, preset.gpu_gib * GIB, share=serve.share)
            assert room.tokens >= 1.1 * serve.context, f"{preset.name} {serve.role}: room for {room.tokens} tokens"
            assert serve.context <= serve.weights.context


def test_no_preset_has_a_licence_that_forbids_business() -> None:
    assert {serve.licence for preset in load().values() for serve in preset.serve} == {"Apache-2.0"}


def test_qwen_2_5_coder_is_given_no_parser_of_tool_calls_because_there_is_none() -> None:
    for preset in load().values():
        for serve in preset.serve:
            assert bool(serve.tools) == ("Qwen2.5-Coder" not in serve.model)


def test_chat_is_served_by_instruct_weights() -> None:
    assert all("Instruct" in each.model for preset in load().values() for each in preset.serve if "chat" in each.roles)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadPreset, match=r"no preset '12gb'\. There are: 8gb, 16gb"):
        find("12gb")


def test_a_preset_of_two_models_asks_which() -> None:
    with pytest.raises(BadPreset, match="Say which with --role: chat, completion"):
        find("16gb").role("")
    assert find("16gb").role("completion").fim == "qwen"
    with pytest.raises(BadPreset, match="has no server for completion"):
        find("8gb").role("completion")
