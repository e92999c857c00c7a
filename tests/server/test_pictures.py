"""Pictures leave only where the administrator lets them, and not twice to a model that refused one."""

from __future__ import annotations

import json

from tests.fakes.vllm import FakeVLLM
from tests.server.conftest import StartServer

PNG = "iVBORw0KGgo="
OFF = {"images": {"enabled": False, "reason": "Policy 12"}}
SEES = {"fake-coder": True}


async def test_with_images_switched_off_no_picture_of_an_output_or_a_notebook_file_leaves(
    a_server: StartServer, model: FakeVLLM
) -> None:
    server = a_server(features=OFF, vision=SEES)
    output = {"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}}
    cells = [{"cell_type": "code", "id": "b", "source": "plot()", "outputs": [output]}]
    (server.root / "file.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}))
    shown = {"kind": "display", "text": "", "image": {"mime": "image/png", "data": PNG}}
    cell = {"id": "a", "kind": "code", "source": "draw()", "outputs": [shown]}
    parts = [
        {"type": "notebook", "path": "live.ipynb", "cells": [cell]},
        {"type": "file", "path": "file.ipynb"},
    ]
    async with server.panel() as panel:
        await panel.finished("What is drawn?", context=parts, model="fake-coder")
    sent = json.dumps(model.requests[-1].body["messages"])
    assert "draw()" in sent and "plot()" in sent
    assert PNG not in sent and "image_url" not in sent


async def test_with_images_switched_on_a_model_that_sees_gets_them(a_server: StartServer, model: FakeVLLM) -> None:
    server = a_server(vision=SEES)
    shown = {"kind": "display", "text": "", "image": {"mime": "image/png", "data": PNG}}
    cell = {"id": "a", "kind": "code", "source": "draw()", "outputs": [shown]}
    async with server.panel() as panel:
        context = [{"type": "notebook", "path": "live.ipynb", "cells": [cell]}]
        await panel.finished("What is drawn?", context=context, model="fake-coder")
    assert PNG in json.dumps(model.requests[-1].body["messages"])


async def test_a_model_that_refuses_a_picture_is_asked_without_it_from_then_on(
    a_server: StartServer, model: FakeVLLM
) -> None:
    server = a_server()  # nobody tells whether it sees
    model.use("blind")
    picture = {"type": "image", "name": "shot.png", "image": {"mime": "image/png", "data": PNG}}
    async with server.panel() as panel:
        refused = await panel.finished("What is shown?", context=[picture])
        assert refused["error"]["code"] == "no_vision"
        assert PNG in json.dumps(model.requests[-1].body["messages"])
        assert (await panel.http.get("status")).json()["models"][0]["vision"] is False
        again = await panel.finished("What is shown?", copy_of=refused["id"], parent_id=None)
        assert again["state"] == "complete"
    assert "image_url" not in json.dumps(model.requests[-1].body["messages"])
