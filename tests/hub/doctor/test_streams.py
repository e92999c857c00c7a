"""Whether answers stream: a real gateway behind the real proxy and a real nginx, which may keep answers back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cellar_hub.commands.program import run
from cellar_hub.gateway.pace import AT_ONCE, PIECES

from tests.fakes.vllm import FakeVLLM, Scenario
from tests.hub.compose.nginx import MISSING, is_here, serving
from tests.hub.gateway.process import GatewayProcess
from tests.hub.test_proxy import proxy_before

needs_nginx = pytest.mark.skipif(not is_here(), reason=MISSING)
PACE = "/services/cellar/cellar/v1/pace"


@pytest.fixture
def gateway(model: FakeVLLM, tmp_path: Path) -> Iterator[GatewayProcess]:
    """No hub is there: what is measured needs none."""
    nowhere = "http://127.0.0.1:9/hub/api"
    env = {"VLLM_BASE_URL": model.url, "CELLAR_DATA": str(tmp_path / "data"), "CELLAR_HUB_API_URL": nowhere}
    process = GatewayProcess(env | {"CELLAR_GATEWAY_TOKEN": "gateway-token-0123456789"}, tmp_path / "gateway.log")
    process.start()
    yield process
    process.terminate()


async def check(capsys: pytest.CaptureFixture[str], **env: str) -> tuple[int, str]:
    """The doctor in the proxy's place: exit status, and what it says."""
    status = await asyncio.to_thread(run, ["check"], env)
    return status, capsys.readouterr().out


def keeps_back(template: str) -> str:
    """nginx as somebody sets it up who knows nothing of streams, and does as no header says."""
    return template.replace("proxy_buffering         off;", "proxy_ignore_headers X-Accel-Buffering;")


@needs_nginx
async def test_answers_stream_through_the_proxy_and_through_nginx(
    gateway: GatewayProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with proxy_before(gateway.port) as port, serving(tmp_path, f"127.0.0.1:{port}") as (https, _):
        status, said = await check(
            capsys, CELLAR_PROXY_URL=f"http://127.0.0.1:{port}", CELLAR_TLS_URL=f"https://127.0.0.1:{https}"
        )
    assert status == 0, said
    lines = [line.partition(":")[0] for line in said.splitlines()]
    assert lines == [
        "ok    versions",
        "ok    streaming through the proxy",
        "ok    streaming through nginx",
        "Everything works together.",
    ]


@needs_nginx
async def test_an_nginx_that_keeps_answers_back_fails_with_what_helps(
    gateway: GatewayProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path, f"127.0.0.1:{gateway.port}", keeps_back) as (https, _):
        status, said = await check(capsys, CELLAR_PROXY_URL=gateway.url, CELLAR_TLS_URL=f"https://127.0.0.1:{https}")
    assert status == 1
    assert "ok    streaming through the proxy" in said
    failed = next(line for line in said.splitlines() if line.startswith("FAIL"))
    assert failed.startswith("FAIL  streaming through nginx: an answer written in 0.7 s arrives within 0.0 s")
    assert "proxy_buffering off" in failed


async def test_a_proxy_that_leads_elsewhere_is_said(model: FakeVLLM, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = await check(capsys, CELLAR_PROXY_URL=model.root, CELLAR_TLS_URL="https://127.0.0.1:9")
    assert status == 1 and "2 of 3 checks failed." in said
    assert f"FAIL  streaming through the proxy: {model.root}{PACE} answers 404" in said
    assert "FAIL  streaming through nginx: https://127.0.0.1:9" in said and "does not answer: ConnectError" in said


async def test_what_is_measured_needs_no_token_and_few_measure_at_once(gateway: GatewayProcess) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as http:
        found = await asyncio.gather(*(http.get(PACE) for _ in range(AT_ONCE + 2)))
        statuses = sorted(answer.status_code for answer in found)
        assert statuses == [200] * AT_ONCE + [503] * 2
        done = next(answer for answer in found if answer.status_code == 200)
        assert done.text == "".join(f": {number + 1}\n\n" for number in range(PIECES))
        assert done.headers["X-Accel-Buffering"] == "no" and "text/event-stream" in done.headers["Content-Type"]
        assert (await http.get("/cellar/v1/pace")).status_code == 200, "their places are free again"


def answers_at_once(model: FakeVLLM) -> None:
    model.use(Scenario(words=24, batch=24))


def breaks_off(model: FakeVLLM) -> None:
    model.use("error_in_stream")


@pytest.mark.parametrize(
    ("mood", "failed"), [(answers_at_once, "keeps answers back"), (breaks_off, "fails: ")], ids=["buffered", "error"]
)
async def test_a_model_servers_answer_that_comes_in_one_go_or_is_an_error_fails(
    mood: Callable[[FakeVLLM], None], failed: str, model: FakeVLLM, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mood(model)
    env = {"VLLM_BASE_URL": model.url, "CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api"}
    _, said = await check(capsys, **env, CELLAR_DATA=str(tmp_path), CELLAR_GATEWAY_TOKEN="gateway-token-0123456789")
    line = next(line for line in said.splitlines() if line.startswith("FAIL  model server"))
    assert failed in line


@pytest.mark.parametrize(
    ("name", "role", "told", "asked"),
    [
        (
            "fake-coder",
            "completion",
            "model server {}: ",
            [["max_tokens", "model", "prompt"]],
        ),
        ("fake-coder", "embeddings", "ok    model server {}: fake-coder is listed", []),
        ("coder", "chat", "FAIL  model server {}: does not list coder, which CELLAR_MODELS looks for there", []),
    ],
)
async def test_a_model_server_of_the_table_is_asked_for_what_it_gives(
    name: str,
    role: str,
    told: str,
    asked: list[list[str]],
    model: FakeVLLM,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model.use(Scenario(words=24, rate=100.0))
    table = tmp_path / "models.toml"
    table.write_text(f'[[models]]\nmodel = "{name}"\nbase_url = "{model.url}"\nroles = ["{role}"]\n')
    env = {"CELLAR_MODELS": str(table), "CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api"}
    _, said = await check(capsys, **env, CELLAR_DATA=str(tmp_path), CELLAR_GATEWAY_TOKEN="gateway-token-0123456789")
    assert told.format(model.url) in said
    assert [sorted(set(each.body) - {"stream"}) for each in model.requests] == asked


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (
            "no_template",
            "fake-coder: This model completes text and cannot chat: it has no chat template. Serve the weights",
        ),
        (
            "stopping",
            "fake-coder: The model server has stopped. A model server that has just started reads its weights",
        ),
        ("loading", "fake-coder: The model is being loaded. A model server that has just started reads its weights"),
        ("key", "does not accept the gateway's key: VLLM_API_KEY, or what key_variable names in CELLAR_MODELS"),
        ("elsewhere", "The model server does not know this address (HTTP 404). Does the base URL end in /v1"),
        (
            "away",
            "nobody answers there. A model server that has just started reads its weights for minutes. One that ends",
        ),
    ],
)
async def test_what_is_wrong_with_a_model_server_is_said_with_what_helps(
    trouble: str,
    says: str,
    model: FakeVLLM,
    an_unused_port: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = {"elsewhere": f"{model.root}/nothing/v1", "away": f"http://127.0.0.1:{an_unused_port}/v1"}.get(
        trouble, model.url
    )
    if trouble == "key":
        model.options.api_key = "another"
    elif url == model.url:
        model.use(trouble)
    env = {"VLLM_BASE_URL": url, "CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api", "VLLM_API_KEY": "ours"}
    status, said = await check(
        capsys, **env, CELLAR_DATA=str(tmp_path), CELLAR_GATEWAY_TOKEN="gateway-token-0123456789"
    )
    assert status == 1
    assert f"FAIL  model server {url}: {says}" in said


async def test_each_model_that_the_table_looks_for_at_a_server_is_named_when_it_is_not_there(
    model: FakeVLLM, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = '[[models]]\nmodel = "{}"\nbase_url = "{}"\n'
    table = tmp_path / "models.toml"
    table.write_text("".join(row.format(name, model.url) for name in ("fake-coder", "adapter", "large")))
    env = {"CELLAR_MODELS": str(table), "CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api"}
    _, said = await check(capsys, **env, CELLAR_DATA=str(tmp_path), CELLAR_GATEWAY_TOKEN="gateway-token-0123456789")
    line = (
        f"FAIL  model server {model.url}: does not list adapter, large, which CELLAR_MODELS looks for there; it lists"
    )
    assert f"{line} fake-coder" in said
