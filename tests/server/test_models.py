"""What the workspace knows of its model server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import certifi
import pytest
from cellar import wire
from cellar.errors import ModelServerDown
from cellar_jupyter.server.app import Cellar
from cellar_jupyter.server.models import Models

from tests.fakes.http import HTTPServer, Request
from tests.fakes.vllm import FakeVLLM
from tests.server.conftest import StartServer
from tests.server.servers import Panel, until


async def state(panel: Panel) -> dict[str, str]:
    answer: dict[str, str] = (await panel.http.get("status")).json()["model_server"]
    return answer


async def test_a_wrong_authority_file_is_told_and_forgotten_once_it_is_right(
    a_server: StartServer, tmp_path: Path
) -> None:
    bundle = tmp_path / "authorities.pem"
    server = a_server(base_url="https://127.0.0.1:1/v1", ca_bundle=str(bundle))
    async with server.panel() as panel:

        async def told() -> bool:
            return "CELLAR_CA_BUNDLE" in (await state(panel)).get("message", "")

        await until(told)
        assert (await state(panel))["state"] == "down"
        turn = await panel.finished("hello")
        assert turn["error"]["code"] == "model_down" and "CELLAR_CA_BUNDLE" in turn["error"]["hint"]

        bundle.write_bytes(Path(certifi.where()).read_bytes())

        async def asked() -> bool:
            return not await told()

        await until(asked)  # the server is asked now; it is not there


@pytest.mark.parametrize("address", ["localhost:8001", "http://user:pass@localhost/v1"])
async def test_an_address_that_is_none_is_told_in_the_panel_and_nobody_is_asked(
    a_server: StartServer, address: str
) -> None:
    server = a_server(base_url=address)
    async with server.panel() as panel:

        async def told() -> bool:
            return "c.Cellar.base_url" in (await state(panel)).get("message", "")

        await until(told)
        assert (await state(panel))["state"] == "down"
        turn = await panel.finished("hello")
        assert turn["error"]["code"] == "model_down" and "c.Cellar.base_url" in turn["error"]["message"]


async def test_an_address_without_v1_is_told_before_anybody_asks(a_server: StartServer, model: FakeVLLM) -> None:
    server = a_server(base_url=model.url.removesuffix("/v1"))
    async with server.panel() as panel:

        async def told() -> bool:
            return "end in /v1" in (await state(panel)).get("message", "")

        await until(told)
        assert (await state(panel))["state"] == "down"


async def test_each_text_is_counted_by_the_model_that_will_read_it(model: FakeVLLM) -> None:
    models = Models(Cellar(base_url=model.url))
    one, other = (wire.Model(id=name, context_length=1_000, tokenizer=True) for name in ("fake-coder", "another"))
    models.count_later(one, ("for the one", "for both"))
    models.count_later(other, ("for the other", "for both"))
    await models.counted(within=20)
    asked = [(body["model"], body["prompt"]) for body in model.counted]
    assert sorted(asked) == [
        ("another", "for both"),
        ("another", "for the other"),
        ("fake-coder", "for both"),
        ("fake-coder", "for the one"),
    ]
    await models.close()


async def test_an_end_waits_for_no_count_and_leaves_none(model: FakeVLLM) -> None:
    model.options.slow_tokenizer = True
    models = Models(Cellar(base_url=model.url))
    models.count_later(wire.Model(id="fake-coder", context_length=1_000, tokenizer=True), ("one", "two"))
    await model.until(lambda it: bool(it.counted))
    await models.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_answer_says_that_the_server_is_up_whatever_an_older_look_finds() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def cut(request: Request) -> None:
        asked.set()
        await go.wait()
        request.cut()

    server = HTTPServer(cut)
    models = Models(Cellar(base_url=f"http://127.0.0.1:{await server.start()}/v1"))
    models.failed(ModelServerDown("gone"), "fake-coder")
    look = models.refresh()
    await asked.wait()
    models.answered()
    go.set()
    await look
    assert models.health.state == "up"
    await models.refresh()
    assert models.health.state == "down", "a look that began after the answer is believed"
    await models.close()
    await server.stop()


async def test_a_model_of_the_settings_that_is_not_served_is_told_and_the_first_is_asked(
    a_server: StartServer, model: FakeVLLM
) -> None:
    server = a_server(base_url=model.url, model="gone")
    async with server.panel() as panel:

        async def told() -> bool:
            return (await panel.http.get("status")).json()["announcements"] != []

        await until(told)
        status = (await panel.http.get("status")).json()
        assert status["default_model"] == "fake-coder"
        assert [(each["id"], each["level"]) for each in status["announcements"]] == [
            ("setting-no_model-gone", "warning")
        ]
        assert (await panel.finished("hello"))["state"] == "complete"


async def test_what_an_administrator_announces_is_told_until_it_ends(a_server: StartServer, model: FakeVLLM) -> None:
    window = {"spent": {}, "resets_at": 1893456000.0}
    told = {"id": "a", "level": "error", "text": "<b>Friday</b>", "dismissible": False, "ends": time.time() + 3600}
    over = {"id": "b", "level": "info", "text": "over", "ends": time.time() - 1}
    model.options.me = {"user": "kim", "day": window, "month": window, "announcements": [told, over]}
    async with a_server(base_url=model.url, gateway=True).panel() as panel:

        async def seen() -> bool:
            return (await panel.http.get("status")).json().get("announcements") == [told]

        await until(seen)


async def test_whether_the_models_to_chat_with_are_there_is_no_matter_of_the_others(
    a_server: StartServer, model: FakeVLLM
) -> None:
    window = {"spent": {}, "resets_at": 1893456000.0}
    states = [{"id": "fake-coder", "state": "down"}, {"id": "embedder", "state": "up"}]
    model.options.me = {"user": "kim", "day": window, "month": window, "models": states}
    async with a_server(base_url=model.url, gateway=True).panel() as panel:

        async def down() -> bool:
            return (await state(panel))["state"] == "down"

        await until(down)


async def test_who_names_no_model_is_answered_by_the_one_that_is_served_now(
    model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models(Cellar(base_url=model.url))
    before = (await models.choose(None)).id
    model.options.models = ["its-successor"]
    assert (await models.choose(None)).id == before, "what is known is good enough for some seconds"
    monkeypatch.setattr("cellar_jupyter.server.models.FRESH", 0.0)
    assert (await models.choose(None)).id == "its-successor"
    await models.close()
