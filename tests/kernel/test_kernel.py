"""A real kernel over ZMQ: what a front end receives while `%%ai` runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from cellar_jupyter.kernel.asker import Asker
from cellar_jupyter.kernel.display import ANSWER_MIME, WIDGET_MIME
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM


class Kernel:
    """A running kernel with the magics loaded; `card` is `CELLAR_CARD`, `asker` who sends the requests."""

    def __init__(self, home: Path, model: FakeVLLM, card: str, asker: Asker = "notebook") -> None:
        self.asker = asker
        env = dict(os.environ, IPYTHONDIR=str(home), VLLM_BASE_URL=model.url, CELLAR_CARD=card)
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=env)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)
        self.messages: list[dict[str, Any]] = []
        self.run("%load_ext cellar_jupyter")

    def start(self, source: str) -> str:
        """As the front end sends it: JupyterLab names the cell, nbconvert answers no prompt, a console does neither."""
        self.messages.clear()
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": self.asker != "runner",
            "stop_on_error": True,
        }
        metadata = {"cellId": "c1"} if self.asker == "notebook" else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        request: str = message["header"]["msg_id"]
        return request

    def receive_until(self, word: str) -> None:
        """Until a piece of an answer with this word has arrived."""
        while word not in "".join(self.deltas()):
            self.messages.append(self.client.get_iopub_msg(timeout=40))

    def deltas(self) -> list[str]:
        sent = [content["data"] for content in self.published("comm_msg")]
        return [data["content"]["delta"] for data in sent if data.get("method") == "custom"]

    def finish(self, request: str) -> dict[str, Any]:
        """The reply, when the cell has ended; everything it published is in `messages`."""
        while True:
            message = self.client.get_iopub_msg(timeout=40)
            if message["parent_header"].get("msg_id") != request:
                continue
            self.messages.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while True:
            reply: dict[str, Any] = self.client.get_shell_msg(timeout=40)
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"]

    def run(self, source: str) -> dict[str, Any]:
        return self.finish(self.start(source))

    def published(self, *kinds: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    def printed(self) -> str:
        return "".join(content["text"] for content in self.published("stream"))

    def bundles(self) -> list[dict[str, Any]]:
        return [content["data"] for content in self.published("display_data", "update_display_data")]

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel(tmp_path: Path, model: FakeVLLM) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path, model, "1")
    yield kernel
    kernel.stop()


@pytest.fixture
def plain_kernel(tmp_path: Path, model: FakeVLLM) -> Iterator[Kernel]:
    """Its front end is not known to draw the card."""
    kernel = Kernel(tmp_path, model, "")
    yield kernel
    kernel.stop()


@pytest.fixture
def console_kernel(tmp_path: Path, model: FakeVLLM) -> Iterator[Kernel]:
    """Its front end only prints."""
    kernel = Kernel(tmp_path, model, "", "console")
    yield kernel
    kernel.stop()


@pytest.fixture
def runner_kernel(tmp_path: Path, model: FakeVLLM) -> Iterator[Kernel]:
    """Nobody looks on."""
    kernel = Kernel(tmp_path, model, "", "runner")
    yield kernel
    kernel.stop()


def test_the_card_streams_each_piece_once_and_ends_as_markdown(kernel: Kernel, model: FakeVLLM) -> None:
    model.use(Scenario(text="one two three four five six", gated=True))
    request = kernel.start("%%ai\ncount")
    for _ in range(6):
        model.wait_for(lambda m: m.waiting == 1)
        model.release()
    assert kernel.finish(request)["status"] == "ok"
    first, *_, last = kernel.bundles()
    assert WIDGET_MIME in first and "text/markdown" not in first
    assert WIDGET_MIME not in last and last["text/markdown"] == "one two three four five six"
    assert last[ANSWER_MIME]["state"] == "complete"
    assert "".join(kernel.deltas()) == "one two three four five six"


def test_a_card_gets_no_bidi_override_while_it_streams(kernel: Kernel, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=["a\u202eb", "\x1b[2J"]))
    kernel.run("%%ai\nhello")
    assert "".join(kernel.deltas()) == "a�b�[2J"


def test_what_a_cell_printed_travels(kernel: Kernel, model: FakeVLLM) -> None:
    kernel.run("print('of the cell')\n1 + 1")
    kernel.run("%ai what was printed?")
    asked = model.requests[-1].body["messages"][-1]["content"]
    assert "<ctx-out stdout>\nof the cell\n<ctx-out result>\n2" in asked


def test_the_kernel_keeps_the_last_finished_cards_only(kernel: Kernel, model: FakeVLLM) -> None:
    kernel.run("for n in range(10): get_ipython().run_line_magic('ai', f'hello {n}')")
    kernel.run("from ipywidgets.widgets import widget; from cellar_jupyter.kernel.card import KEPT, AnswerCard")
    kernel.run("kept = list(widget._instances.values()); print(len(kept), 2 * KEPT)")  # each with its layout
    assert kernel.published("stream")[0]["text"] == "16 16\n"
    kernel.run("print(all(one.final['text/plain'] for one in kept if isinstance(one, AnswerCard)))")
    assert kernel.published("stream")[0]["text"] == "True\n"


def test_an_interrupt_ends_the_card_as_stopped(kernel: Kernel, model: FakeVLLM) -> None:
    model.use("gated")
    model.release(2)
    request = kernel.start("%%ai\ncount")
    kernel.receive_until("two")
    kernel.manager.interrupt_kernel()
    reply = kernel.finish(request)
    model.wait_for(lambda m: m.aborted == 1)
    assert reply["status"] == "error"
    last = kernel.bundles()[-1]
    assert last[ANSWER_MIME]["state"] == "stopped" and last["text/markdown"].startswith("one two")
    assert kernel.published("error")[0]["traceback"] == ["Stopped. The text so far is kept."]


def test_an_error_is_one_line_and_ends_the_cell(kernel: Kernel, model: FakeVLLM) -> None:
    model.use("unauthorized")
    reply = kernel.run("%%ai\nhello")
    assert reply["status"] == "error"
    (error,) = kernel.published("error")
    assert len(error["traceback"]) == 1 and "VLLM_API_KEY" in error["traceback"][0]


def test_code_becomes_the_next_cell(kernel: Kernel, model: FakeVLLM) -> None:
    model.use(Scenario(text="```python\nx = 1\n```"))
    reply = kernel.run("%%ai -f code\nwrite it")
    assert {"source": "set_next_input", "text": "x = 1", "replace": False} in reply["payload"]


def test_without_a_card_the_markdown_grows_in_linear_size(plain_kernel: Kernel, model: FakeVLLM) -> None:
    model.use(Scenario(words=3000, rate=3000))
    plain_kernel.run("%%ai\nwrite a lot")
    sizes = [len(bundle.get("text/markdown", "")) for bundle in plain_kernel.bundles()]
    assert sum(sizes) < 7 * sizes[-1]
    assert all(WIDGET_MIME not in bundle for bundle in plain_kernel.bundles())


def test_a_console_gets_the_whole_answer_printed_as_it_comes(console_kernel: Kernel, model: FakeVLLM) -> None:
    model.use(Scenario(text="one **two** three", gated=True))
    request = console_kernel.start("%ai count")
    model.wait_for(lambda m: m.waiting == 1)
    model.release()
    while "one" not in console_kernel.printed():
        console_kernel.messages.append(console_kernel.client.get_iopub_msg(timeout=40))
    assert "three" not in console_kernel.printed()
    model.release_all()
    assert console_kernel.finish(request)["status"] == "ok"
    assert console_kernel.printed() == "one **two** three\n"
    assert console_kernel.bundles() == []


def test_a_console_beside_a_notebook_is_answered_as_a_console(plain_kernel: Kernel, model: FakeVLLM) -> None:
    model.use(Scenario(text="It is 42."))
    plain_kernel.run("%ai how many?")
    assert plain_kernel.bundles()[-1]["text/markdown"] == "It is 42."
    plain_kernel.asker = "console"
    plain_kernel.run("%ai how many?")
    assert plain_kernel.printed() == "It is 42.\n"


def test_a_runner_gets_one_output_in_one_piece(runner_kernel: Kernel, model: FakeVLLM) -> None:
    model.use(Scenario(words=3000, rate=3000))
    runner_kernel.run("%%ai\nwrite a lot")
    (bundle,) = runner_kernel.bundles()
    assert bundle["text/markdown"].endswith("w2999")


@pytest.mark.parametrize("scenario", [Scenario(tokens=[]), Scenario(status=500, body="no"), Scenario(tokens=["\n"])])
def test_a_question_without_an_answer_leaves_no_output(
    plain_kernel: Kernel, kernel: Kernel, model: FakeVLLM, scenario: Scenario
) -> None:
    model.use(scenario)
    assert plain_kernel.run("%ai -f code hello")["status"] == "error"
    assert plain_kernel.bundles() == [] and plain_kernel.printed() == ""
    reply = kernel.run("%ai -f code hello")
    assert kernel.bundles()[-1] == {}  # in place of the card
    assert reply["payload"] == []
    assert len(kernel.published("error")[0]["traceback"]) == 1


def test_loading_the_extension_imports_no_http_client(kernel: Kernel) -> None:
    kernel.run("import sys; print('httpx' in sys.modules, 'cellar.context' in sys.modules)")
    assert kernel.published("stream")[0]["text"] == "False False\n"


def test_jupyter_console_shows_the_whole_answer(model: FakeVLLM, tmp_path: Path) -> None:
    import pexpect

    env = dict(os.environ, IPYTHONDIR=str(tmp_path), VLLM_BASE_URL=model.url, TERM="dumb")
    model.use(Scenario(text="The answer is **42**, \x1b]0;title\x07\u202e as everybody knows.", gated=True))
    options = ["-m", "jupyter_console", "--simple-prompt", "--kernel=python3"]
    console = pexpect.spawn(
        sys.executable, options, cwd=tmp_path, env=env, timeout=40, encoding="utf-8", dimensions=(40, 200)
    )
    try:
        console.expect("In \\[1\\]: ")
        # Jupyter Console prompts before it hears the kernel, and then waits for ever for the end of a cell that it did
        # not hear. So the first cell speaks until it is heard.
        speak = 'print("listen" "ing"); __import__("time").sleep(0.05)'
        console.sendline(f'while not __import__("os").path.exists("heard"): {speak}')
        console.expect("listening")
        (tmp_path / "heard").touch()
        console.expect("In \\[2\\]: ")
        console.sendline("%load_ext cellar_jupyter")
        console.expect("In \\[3\\]: ")
        console.sendline("%ai how many?")
        for _ in range(4):
            model.wait_for(lambda m: m.waiting == 1)
            model.release()
        console.expect("The answer is")
        model.release_all()
        console.expect("In \\[4\\]: ")
        shown = console.before
        assert "as everybody knows." in shown and "\x1b]" not in shown and "\u202e" not in shown
        assert shown.count("42") == 1
    finally:
        console.close(force=True)


def test_nbconvert_runs_the_magic_and_saves_the_answer(
    model: FakeVLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbconvert.exporters import HTMLExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    monkeypatch.setenv("VLLM_BASE_URL", model.url)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    model.use(Scenario(text="The answer is **42**."))
    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext cellar_jupyter", "%%ai -o x\nhow many?", "x")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    ExecutePreprocessor(timeout=60, kernel_name="python3").preprocess(notebook, {})
    saved = nbformat.reads(nbformat.writes(notebook), as_version=4)
    nbformat.validate(saved)
    (output,) = saved.cells[1].outputs
    assert output["data"]["text/markdown"] == "The answer is **42**."
    assert saved.cells[2].outputs[0]["data"]["text/plain"] == "'The answer is **42**.'"
    page, _ = HTMLExporter().from_notebook_node(saved)
    assert "<strong>42</strong>" in page
