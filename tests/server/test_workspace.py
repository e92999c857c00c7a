"""What travels with a question from the workspace, and everything a page asks besides turns."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cellar import wire
from cellar.errors import NotFound, OutsideWorkspace, TooLarge, Unreadable
from cellar.settings import KEY_FOR, Endpoint, endpoint_from_env
from cellar_jupyter.server.files import MAX_FILE_BYTES, MAX_NOTEBOOK_BYTES, Files
from cellar_jupyter.server.kernels import publish_endpoint
from cellar_jupyter.server.notebooks import notebook_part
from cellar_jupyter.server.pictures import MAX_PICTURE_BYTES
from cellar_jupyter.server.routes.conversations import disposition
from cellar_jupyter.server.search import FRESH, Search

from tests.contract.posts import PNG
from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.server.conftest import StartServer
from tests.server.servers import JupyterServer, Panel, until

NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "id": "a", "source": ["x = 41\n", "x + 1"], "metadata": {}, "execution_count": 1,
         "outputs": [{"output_type": "execute_result", "data": {"text/plain": "42"}, "metadata": {}}]},
    ],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Files:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("not yours")
    return Files(str(root))


def last_message(model: FakeVLLM) -> str:
    return str(model.requests[-1].body["messages"][-1]["content"])


# -- files ------------------------------------------------------------------------------------------------------------


ODD_IGNORE_LINES = ["!", "\\", "foo\\", "*[z-a]", "[", "*.py[z-a]", "*a*a*a*a*a*a*b", "**/a/" * 8 + "b"]


@pytest.mark.parametrize("line", ODD_IGNORE_LINES)
async def test_an_ignore_line_that_is_none_or_costs_too_much_is_passed_over(files: Files, line: str) -> None:
    (files.root / ".gitignore").write_text(f"*.log\n{line}\nbuild/\n")
    (files.root / "build").mkdir()
    for name in ("a.py", "x.log", "build/b.py", "a" * 200):
        (files.root / name).write_text("def f(): ...")
    deep = files.root.joinpath(*"a" * 50)
    deep.mkdir(parents=True)
    listed = files.folder("").entries
    assert "a.py" in listed and "a" * 200 in listed and not {"x.log", "build/", "build/b.py"} & {*listed}
    assert [hit.path for hit in (await Search(files).find("f")).hits if hit.kind == "symbol"] == ["a.py"]


@pytest.fixture
def endless_folders(files: Files) -> Iterator[Files]:
    place = os.open(files.root, os.O_RDONLY)
    for _ in range(1_100):
        os.mkdir("a", dir_fd=place)
        inner = os.open("a", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    yield files
    # Python removes no tree as deep as this, and pytest would fail when it clears its folders away.
    subprocess.run(["rm", "-rf", files.root / "a"], check=True)


async def test_folders_nested_without_end_are_listed_as_far_as_anybody_looks(endless_folders: Files) -> None:
    (endless_folders.root / "b.py").write_text("x = 1")
    assert "b.py" in endless_folders.folder("").entries
    assert [hit.path for hit in (await Search(endless_folders).find("b.py")).hits] == ["b.py"]


async def test_a_notebook_nested_deeper_than_can_be_read_is_told_and_spoils_nothing(files: Files) -> None:
    (files.root / "deep.ipynb").write_text('{"cells":' + "[" * 20_000)
    (files.root / "b.py").write_text("def fine(): ...")
    gathered = files.gather([wire.FilePart(path="deep.ipynb"), wire.FilePart(path="b.py")])
    assert [notice.path for notice in gathered.notices] == ["deep.ipynb"]
    assert [hit.path for hit in (await Search(files).find("fine")).hits] == ["b.py"]


def notebook_that_printed(text: str) -> bytes:
    output = {"output_type": "stream", "name": "stdout", "text": text}
    cells = [{"cell_type": "code", "id": "a", "source": "x", "outputs": [output]}]
    return json.dumps({"cells": cells, "metadata": {}}).encode()


def test_a_long_output_of_a_notebook_file_is_cut_between_words() -> None:
    secret = "zq-Very.Long_Env-Secret.Value.98765-abcdef"
    for start in range(9_900, 10_000, 7):
        text = ("log line\n" * 2_000)[:start] + " " + secret + "\n" + "tail\n" * 5_000
        output = notebook_part("a.ipynb", notebook_that_printed(text)).cells[0].outputs[0]
        assert secret[:6] not in output.text.replace(secret, "")
        assert len(output.text) - len("\n…\n") + output.cut == len(text)


@pytest.mark.parametrize("path", ["../secret.txt", "a/../../secret.txt", "/../secret.txt", "a\0b"])
def test_a_path_outside_the_workspace_is_refused(files: Files, path: str) -> None:
    with pytest.raises((OutsideWorkspace, NotFound)):
        files.read_for_model(path)


def test_a_link_that_leads_outside_is_refused(files: Files, tmp_path: Path) -> None:
    (files.root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (files.root / "folder").symlink_to(tmp_path)
    for path in ("link.txt", "folder/secret.txt"):
        with pytest.raises(OutsideWorkspace):
            files.read_for_model(path)


def test_hidden_files_follow_the_servers_own_setting(files: Files) -> None:
    (files.root / ".env").write_text("A=1")
    with pytest.raises(NotFound):
        files.read_for_model(".env")
    assert Files(str(files.root), allow_hidden=True).read_for_model(".env") == ("A=1", 0)


def test_what_is_no_text_is_unreadable(files: Files) -> None:
    (files.root / "binary").write_bytes(b"\x00\x01")
    (files.root / "unknown").write_bytes(b"\x81\x8d\x8f")
    os.mkfifo(files.root / "pipe")
    for path in ("binary", "unknown", "pipe", "."):
        with pytest.raises(Unreadable):
            files.read_for_model(path)


def test_a_file_of_another_encoding_is_read_all_the_same(files: Files) -> None:
    korean, western = "이름,나이\n홍길동,똠방\n", "prénom;âge\nZoë;7 €\n"
    for text, codec in ((korean, "cp949"), (korean, "utf-16"), (western, "cp1252"), (western, "utf-8-sig")):
        (files.root / "data.csv").write_bytes(text.encode(codec))
        assert files.read_for_model("data.csv") == (text, 0)


def test_of_a_file_too_long_for_any_model_the_beginning_and_the_end_are_read(files: Files) -> None:
    rows = [f"{number},가나다라\n" for number in range(300_000)]
    for codec in ("utf-8", "cp949"):
        data = "".join(rows).encode(codec)
        (files.root / "big.csv").write_bytes(data)
        text, left_out = files.read_for_model("big.csv")
        head, tail = text.split(f"\n[{left_out:,} bytes of the file were left out here]\n")
        assert head == "".join(rows[: head.count("\n")])
        assert tail == "".join(rows[-tail.count("\n") :])
        assert len(head.encode(codec)) + left_out + len(tail.encode(codec)) == len(data)
        assert MAX_FILE_BYTES - 100 < len(data) - left_out <= MAX_FILE_BYTES


def test_one_endless_line_is_cut_between_characters(files: Files) -> None:
    for before in range(4):
        (files.root / "line.txt").write_text("x" * before + "가" * 1_000_000)
        text, left_out = files.read_for_model("line.txt")
        assert text.startswith("x" * before + "가가") and text.endswith("가가") and left_out > 900_000


@pytest.mark.parametrize(("written", "read"), [("a 가\n", "a 가\n"), ("a 😀", "a 😀"), ("a \ud83d", "a ")])
@pytest.mark.parametrize("half", [b"", b"\0"])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_utf_16_file_that_is_just_written_is_read_up_to_its_last_whole_character(
    files: Files, codec: str, half: bytes, written: str, read: str
) -> None:
    (files.root / "a.txt").write_bytes(("\ufeff" + written).encode(codec, "surrogatepass") + half)
    assert files.read_for_model("a.txt") == (read, 0)
    (files.root / "a.txt").write_bytes("\ufeff".encode(codec) + "\udc00 a".encode(codec, "surrogatepass") + half)
    with pytest.raises(Unreadable):
        files.read_for_model("a.txt")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("half", [b"", b"\x00"])
@pytest.mark.parametrize("first", ["", "x"])
def test_a_long_utf_16_file_is_read_at_both_ends_wherever_it_is_cut(
    files: Files, codec: str, half: bytes, first: str
) -> None:
    # A line's end looks the same one byte further on: ਊ is 0A0A, 漊 is 6F0A, 😀 is a pair of units.
    rows = [first, *(f"{number},ਊ漊가😀\n" for number in range(150_000))]
    data = ("\ufeff" + "".join(rows)).encode(codec) + half
    (files.root / "wide.csv").write_bytes(data)
    text, left_out = files.read_for_model("wide.csv")
    head, tail = text.split(f"\n[{left_out:,} bytes of the file were left out here]\n")
    lines = "".join(rows)
    assert head and lines.startswith(head) and head.endswith("\n")
    assert tail and lines.endswith("\n" + tail)
    assert len(("\ufeff" + head + tail).encode(codec)) + left_out == len(data)
    assert MAX_FILE_BYTES - 100 < len(data) - left_out <= MAX_FILE_BYTES


def test_a_long_utf_16_line_is_cut_between_characters(files: Files) -> None:
    for before in range(2):
        (files.root / "line.txt").write_text("x" * before + "😀" * 1_000_000, "utf-16")
        text, left_out = files.read_for_model("line.txt")
        assert text.startswith("x" * before + "😀😀") and text.endswith("😀😀") and left_out > 900_000


def test_a_notebook_file_too_large_to_read_is_refused(files: Files) -> None:
    with (files.root / "huge.ipynb").open("wb") as file:
        file.truncate(MAX_NOTEBOOK_BYTES + 1)
    with pytest.raises(TooLarge):
        files.read_part(wire.FilePart(path="huge.ipynb"))


def test_a_notebook_file_is_read_as_cells(files: Files) -> None:
    (files.root / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    part = files.read_part(wire.FilePart(path="a.ipynb"))
    assert isinstance(part, wire.NotebookPart)
    assert part.cells[0].source == "x = 41\nx + 1"
    assert part.cells[0].outputs[0].text == "42"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 5}', "\x00"])
def test_a_notebook_that_is_no_notebook_is_unreadable(files: Files, content: str) -> None:
    (files.root / "a.ipynb").write_text(content)
    with pytest.raises(Unreadable):
        files.read_part(wire.FilePart(path="a.ipynb"))


def test_a_folder_is_listed_without_what_git_ignores(files: Files) -> None:
    for name in ("src/a.py", "src/build/out.txt", "src/keep.log", "src/drop.log", "node_modules/x.js"):
        path = files.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    (files.root / ".gitignore").write_text("build/\n*.log\n!keep.log\n")
    folder = files.folder("src")
    assert folder.entries == ("a.py", "keep.log")
    assert [file.text for file in folder.files] == ["content of src/a.py", "content of src/keep.log"]
    assert "node_modules/" not in files.folder("").entries


def test_rules_are_those_of_the_root_and_never_from_outside(files: Files, tmp_path: Path) -> None:
    (files.root / "AGENTS.md").write_text("Use tabs.")
    rules = files.root / ".cellar" / "rules"
    rules.mkdir(parents=True)
    (rules / "b.md").write_text("Be brief.")
    (rules / "c.md").symlink_to(tmp_path / "secret.txt")
    assert [(rule.path, rule.text) for rule in files.rules()] == [
        ("AGENTS.md", "Use tabs."),
        (".cellar/rules/b.md", "Be brief."),
    ]


async def test_search_finds_files_folders_and_symbols(files: Files) -> None:
    (files.root / "pkg").mkdir()
    (files.root / "pkg" / "plot.py").write_text("import x\n\n\nclass Plotter:\n    async def plot_all(self): ...\n")
    (files.root / "a.ipynb").write_text(json.dumps({**NOTEBOOK, "cells": [
        {"cell_type": "code", "source": "def plot_here():\n    pass", "metadata": {}, "outputs": []}]}))  # fmt: skip
    (files.root / "ignored_plot.py").write_text("def plot_never(): ...")
    (files.root / ".gitignore").write_text("ignored*")
    found = await Search(files).find("plot")
    assert [(hit.kind, hit.name, hit.line) for hit in found.hits] == [
        ("symbol", "plot_here", None),
        ("file", "plot.py", None),
        ("symbol", "Plotter", 4),
        ("symbol", "plot_all", 5),
    ]
    assert [hit.name for hit in (await Search(files).find("")).hits] == ["a.ipynb", "pkg", "plot.py"]


async def test_search_finds_what_was_written_since_it_last_looked(files: Files) -> None:
    search = Search(files)
    assert (await search.find("report")).hits == ()
    before = search._built_at
    (files.root / "report.csv").write_text("a,b")
    while not (found := await search.find("report")).hits:  # at once, or after a few times what a look takes
        pass
    assert [hit.name for hit in found.hits] == ["report.csv"]
    assert search._built_at - before < FRESH, "the index did not have to become old"


# -- questions --------------------------------------------------------------------------------------------------------


async def test_a_file_travels_with_the_question(server: JupyterServer, panel: Panel, model: FakeVLLM) -> None:
    (server.root / "data.csv").write_text("name,age\nAda,36\n")
    turn = await panel.finished("who?", context=[{"type": "file", "path": "data.csv"}])
    assert "Ada,36" in last_message(model)
    row = next(row for row in turn["receipt"]["parts"] if row["kind"] == "file")
    assert row["path"] == "data.csv" and row["state"] == "sent" and row["tokens"] > 0
    assert turn["pills"] == [{"kind": "file", "label": "data.csv", "path": "data.csv"}]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("binary.bin", b"\x00\x01", "binary"),
        ("unknown.txt", b"\x81\x8d\x8f", "encoding"),
        ("scan.bmp", b"BM6\x00\x00\x00", "picture_kind"),
        ("scan.tiff", b"II*\x00\x08\x00", "picture_kind"),
        ("photo.heic", b"\x00\x00\x00\x18ftypheic", "picture_kind"),
        ("bad.ipynb", b"{nonsense", "not_json"),
        ("old.ipynb", b'{"worksheets": []}', "not_a_notebook"),
        ("missing.txt", None, "not_found"),
        ("../outside.txt", None, "outside_workspace"),
    ],
)
async def test_a_file_that_cannot_be_read_does_not_fail_the_question(
    server: JupyterServer, panel: Panel, model: FakeVLLM, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (server.root / name).write_bytes(content)
    turn = await panel.finished("look", context=[{"type": "file", "path": name}])
    assert turn["state"] == "complete"
    row = next(row for row in turn["receipt"]["parts"] if row.get("path") == name)
    assert row["state"] == "unreadable" and row["detail"]
    assert [reason["code"] for reason in row["reasons"]] == [why]


async def test_a_picture_of_the_workspace_travels_as_one(server: JupyterServer, panel: Panel, model: FakeVLLM) -> None:
    (server.root / "plots").mkdir()
    (server.root / "plots" / "plot.png").write_bytes(base64.b64decode(PNG))
    turn = await panel.finished("what is shown?", context=[{"type": "file", "path": "plots/plot.png"}])
    pictures = [row for row in turn["receipt"]["parts"] if row["kind"] == "image"]
    assert [(row["label"], row["state"]) for row in pictures] == [("plot.png", "sent")]
    assert f"data:image/png;base64,{PNG}" in str(model.requests[-1].body["messages"])
    assert turn["pills"] == [{"kind": "file", "label": "plot.png", "path": "plots/plot.png"}]


def test_a_picture_too_large_to_be_sent_says_so(files: Files) -> None:
    (files.root / "big.png").write_bytes(base64.b64decode(PNG)[:60] + b"\0" * MAX_PICTURE_BYTES)
    (files.root / "BMW.txt").write_text("BMW and II*")
    with pytest.raises(TooLarge):
        files.read_part(wire.FilePart(path="big.png"))
    assert files.read_part(wire.FilePart(path="BMW.txt")) == wire.FilePart(path="BMW.txt", text="BMW and II*")


async def test_nothing_outside_the_workspace_leaves_it(server: JupyterServer, panel: Panel, model: FakeVLLM) -> None:
    (server.home / "outside.txt").write_text("the crown jewels")
    (server.root / "inside.txt").symlink_to(server.home / "outside.txt")
    parts = [{"type": "file", "path": path} for path in ("../outside.txt", "inside.txt")]
    turn = await panel.finished("steal", context=parts)
    assert turn["state"] == "complete"
    assert "crown jewels" not in json.dumps(model.requests[-1].body)


async def test_secrets_do_not_leave_and_are_not_kept(server: JupyterServer, panel: Panel, model: FakeVLLM) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    turn = await panel.finished(f"what is {key}?")
    assert key not in json.dumps(model.requests[-1].body)
    assert turn["receipt"]["masked"]


async def test_a_secret_in_the_first_question_does_not_become_the_title(panel: Panel) -> None:
    created = await panel.ask("Why does psql fail with password = 'hunter2pw' here?")
    conversation = await panel.conversation(created["conversation_id"])
    assert conversation["title"] == "Why does psql fail with password = '•••' here?"
    [row] = [row for row in (await panel.http.get("conversations")).json() if row["id"] == conversation["id"]]
    assert row["title"] == conversation["title"]


async def test_a_preview_costs_what_the_question_would(server: JupyterServer, panel: Panel, model: FakeVLLM) -> None:
    (server.root / "short.txt").write_text("a few words")
    body: dict[str, Any] = {"text": "what?", "context": [{"type": "file", "path": "short.txt"}]}
    receipt: dict[str, Any] = {}

    async def counted_exactly() -> bool:
        receipt.update((await panel.http.post("context/preview", json=body)).json())
        return bool(receipt.get("exact"))

    await until(counted_exactly)
    assert not model.requests
    turn = await panel.finished("what?", context=body["context"])
    assert [row["kind"] for row in receipt["parts"]] == [row["kind"] for row in turn["receipt"]["parts"]]


async def test_a_question_that_is_not_typed_yet_costs_nothing(panel: Panel) -> None:
    empty, typed = [
        (await panel.http.post("context/preview", json={"text": text})).json() for text in ("  ", "what is this?")
    ]
    assert [row.get("tokens", 0) for row in empty["parts"] if row["kind"] == "question"] == [0]
    [question] = [row["tokens"] for row in typed["parts"] if row["kind"] == "question"]
    assert typed["prompt_tokens"] - empty["prompt_tokens"] == question > 0


async def test_a_preview_answers_though_the_server_counts_nothing(panel: Panel, model: FakeVLLM) -> None:
    receipt = (await panel.http.post("context/preview", json={"text": "what?"})).json()
    assert receipt["prompt_tokens"] > 0 and receipt["budget"] > 0


# -- the rest ---------------------------------------------------------------------------------------------------------


async def test_status_tells_models_and_policy(panel: Panel) -> None:
    status = (await panel.http.get("status")).json()
    assert status["model_server"]["state"] == "up"
    assert status["default_model"] == "fake-coder"
    assert status["models"][0]["context_length"] == 32768
    assert status["policy"] == {"features": {}, "history": "disk"}
    assert status["version"]


async def test_status_answers_when_the_model_server_is_down(a_server: StartServer, an_unused_port: int) -> None:
    server = a_server(base_url=f"http://127.0.0.1:{an_unused_port}/v1")
    async with server.panel() as panel:

        async def down() -> bool:
            return bool((await panel.http.get("status")).json()["model_server"]["state"] == "down")

        await until(down)
        turn = await panel.finished("anybody?")
        assert turn["error"]["code"] == "model_down"
        assert turn["error"]["detail"]["address"] == f"http://127.0.0.1:{an_unused_port}/v1"
        assert turn["text"] == "anybody?"


async def test_what_an_admin_locked_is_refused_with_the_reason(a_server: StartServer) -> None:
    locked = {"enabled": False, "reason": "Policy 12"}
    server = a_server(features={"export": locked, "attach_files": locked, "search": {"enabled": False}})
    async with server.panel() as panel:
        status = (await panel.http.get("status")).json()
        assert status["policy"]["features"]["export"] == locked
        turn = await panel.finished("hello")
        refused = await panel.http.get(f"conversations/{turn['conversation_id']}/export")
        assert refused.status_code == 403
        assert refused.json()["error"]["message"] == "Policy 12"
        body = {"request_key": "0123456789", "text": "x", "context": [{"type": "file", "path": "a.txt"}]}
        assert (await panel.http.post("turns", json=body)).status_code == 403
        unexplained = (await panel.http.get("search", params={"q": "a"})).json()["error"]
        assert unexplained["code"] == "forbidden" and unexplained["detail"] == {"why": "switched_off"}


async def test_a_misspelt_lock_is_said_in_the_log_and_in_the_panel_and_the_others_hold(a_server: StartServer) -> None:
    server = a_server(features={"exports": {"enabled": False}, "search": {"enabled": False}, "images": False})
    async with server.panel() as panel:
        status = (await panel.http.get("status")).json()
        assert {name: each["enabled"] for name, each in status["policy"]["features"].items()} == {
            "search": False,
            "images": False,
        }
        ids = [each["id"] for each in status["announcements"]]
        assert ids == ["setting-no_feature-exports", "setting-unreadable-images"]
        misspelt, unreadable = (each["text"] for each in status["announcements"])
        assert misspelt == (
            "c.Cellar.features: 'exports' is no feature, so it locks nothing (attach_files, export, images, search are)"
        )
        assert unreadable.startswith("c.Cellar.features['images'] cannot be read, so images is off: ")
        assert (await panel.http.get("search", params={"q": "a"})).status_code == 403
    assert misspelt in server.log() and unreadable in server.log()
    assert "Traceback" not in server.log()


async def test_conversations_are_listed_renamed_searched_and_deleted(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="The zebrafinch sings."))
    turn = await panel.finished("Which bird?")
    identity = turn["conversation_id"]
    renamed = await panel.http.patch(f"conversations/{identity}", json={"title": "Birds 새"})
    assert renamed.json()["title"] == "Birds 새"
    rows = (await panel.http.get("conversations")).json()
    assert rows[0]["id"] == identity and rows[0]["turns"] == 1
    found = (await panel.http.get("conversations", params={"q": "ZEBRAFINCH"})).json()
    assert [row["id"] for row in found] == [identity]
    assert "zebrafinch" in found[0]["excerpt"]
    assert [row["id"] for row in (await panel.http.get("conversations", params={"q": "birds 새"})).json()] == [identity]
    assert (await panel.http.delete(f"conversations/{identity}")).status_code == 204
    assert (await panel.http.get("conversations", params={"q": "zebrafinch"})).json() == []


async def test_another_branch_can_be_shown(panel: Panel) -> None:
    first = await panel.finished("one")
    second = await panel.finished("one again", conversation_id=first["conversation_id"], parent_id=None)
    address = f"conversations/{first['conversation_id']}"
    assert (await panel.conversation(first["conversation_id"]))["head_id"] == second["id"]
    assert (await panel.http.patch(address, json={"head_id": first["id"]})).json()["head_id"] == first["id"]
    third = await panel.finished("two", conversation_id=first["conversation_id"])
    assert third["parent_id"] == first["id"]
    assert (await panel.http.patch(address, json={"head_id": "nothing-here"})).status_code == 404


async def test_an_export_has_a_name_and_the_whole_branch(panel: Panel, model: FakeVLLM) -> None:
    model.use(Scenario(text="Do this:\n```python\nprint(1)\n```\nDone."))
    turn = await panel.finished('Rate "a/b"?')
    address = f"conversations/{turn['conversation_id']}/export"
    markdown = await panel.http.get(address, params={"format": "md"})
    assert markdown.headers["content-type"].startswith("text/markdown")
    assert "> Rate" in markdown.text and "print(1)" in markdown.text
    notebook = (await panel.http.get(address, params={"format": "ipynb"})).json()
    assert [cell["cell_type"] for cell in notebook["cells"]] == ["markdown", "markdown", "markdown", "code", "markdown"]
    assert notebook["cells"][3]["source"] == "print(1)"
    assert (await panel.http.get(address, params={"format": "json"})).json()["turns"][0]["id"] == turn["id"]
    assert (await panel.http.get(address, params={"format": "exe"})).status_code == 400


def test_the_name_of_an_export_fits_every_file_system() -> None:
    header = disposition('../a"b\r\nSet-Cookie: x=1 새', "md")
    assert "\r" not in header and "\n" not in header and "/" not in header.split("filename*")[0].partition("=")[2]
    assert header.endswith("%20%EC%83%88.md")


async def test_usage_counts_todays_tokens(a_server: StartServer, model: FakeVLLM) -> None:
    model.use(Scenario(text="one two three", prompt_tokens=100))
    async with a_server().panel() as panel:
        await panel.finished("count me")

        async def counted() -> bool:
            return bool((await panel.http.get("usage")).json()["turns_today"] == 1)

        await until(counted)
        use = (await panel.http.get("usage")).json()
        assert use["prompt_today"] == 100 and use["completion_today"] > 0


async def test_usage_names_what_the_workspace_may_reach(a_server: StartServer, model: FakeVLLM) -> None:
    window = {"spent": {}, "resets_at": 0}
    reachable = [{"name": "warehouse.corp", "port": 5432}, {"name": "git.corp", "port": 443, "ready": False}]
    model.options.me = {"user": "kim", "day": window, "month": window, "destinations": reachable}
    async with a_server(gateway=True).panel() as panel:
        assert (await panel.http.get("usage")).json()["destinations"] == reachable


async def test_the_gateway_is_told_which_conversation_a_question_belongs_to(
    a_server: StartServer, model: FakeVLLM
) -> None:
    """Else all that a user asks goes to one of several model servers."""
    async with a_server(gateway=True).panel() as panel:
        first = await panel.finished("one")
        await panel.finished("two", conversation_id=first["conversation_id"])
        other = await panel.finished("elsewhere")
    told = [request.headers.get("x-cellar-conversation") for request in model.requests]
    assert told == [first["conversation_id"]] * 2 + [other["conversation_id"]]
    assert told[0] != told[2]


async def test_kernels_learn_the_endpoint(a_server: StartServer, model: FakeVLLM) -> None:
    server = a_server(api_key="sk-local")
    endpoint = json.loads((server.home / "runtime" / "cellar-endpoint.json").read_text())
    assert endpoint["base_url"] == model.url
    assert endpoint["api_key"] == "sk-local"


def test_kernels_learn_where_the_key_belongs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    for name in ("VLLM_BASE_URL", "VLLM_API_KEY", KEY_FOR):
        monkeypatch.setenv(name, "of an earlier server")
    endpoint = Endpoint(base_url="https://llm.example/v1", api_key="sk-local")
    publish_endpoint(endpoint, logging.getLogger())
    assert endpoint_from_env(os.environ) == endpoint
    assert endpoint_from_env({**os.environ, "VLLM_BASE_URL": "http://llm.example/v1"}).api_key == ""


async def test_a_running_turn_is_activity_and_a_quiet_poll_is_not(a_server: StartServer, gated_model: FakeVLLM) -> None:
    server = a_server()
    async with server.panel() as panel:

        async def activity() -> str:
            answer = await panel.http.get(f"{server.url}api/status", params={"no_track_activity": "1"})
            return str(answer.json()["last_activity"])

        before = await activity()
        await panel.http.get("status", params={"no_track_activity": "1"})
        assert await activity() == before
        created = await panel.ask("work")
        async with panel.http.stream(
            "GET", f"turns/{created['turn_id']}/events", params={"no_track_activity": "1"}
        ) as response:
            await anext(response.aiter_raw())
            asked = await activity()
            assert asked > before
            gated_model.release_all()

        async def complete() -> bool:
            answer = await panel.http.get(f"turns/{created['turn_id']}", params={"no_track_activity": "1"})
            return bool(answer.json()["state"] == "complete")

        await until(complete)
        assert await activity() > asked
