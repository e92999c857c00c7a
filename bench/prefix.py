"""How much of a conversation the model server reads twice: ten turns in the panel, before a real vLLM.

Between any two turns a cell of the attached notebook is edited and run. Reuse in a turn is what vLLM found in its
prefix cache, over what it held of the conversation before: prompt and answer of the turn before.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from bench.report import Row, Section
from bench.stage import Lab, browser, lab, wait_until
from tests.ui.notebook import Notebook
from tests.ui.panel import Panel
from tests.vllm.contract.conftest import KEY, Served, vllm_running
from tools import vllm_cpu

TURNS = 10
BLOCK = 32  # tokens that vLLM keeps or reads together
ANSWER = 96  # tokens at most; a processor writes thirty a second
HITS, RUNNING = "vllm:prefix_cache_hits_total", "vllm:num_requests_running"
QUESTIONS = (
    "What does this notebook do?",
    "Which cell reads the data?",
    "What is plotted?",
    "Is there an error in it?",
    "Which columns are used?",
    "What would you test first?",
    "How could it be shorter?",
    "Which result surprises you?",
    "What is missing?",
    "Sum it up in one sentence.",
)


def section() -> Section:
    if not vllm_cpu.there():
        raise SystemExit("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        with vllm_running(Path(folder), context=8192, VLLM_CPU_KVCACHE_SPACE="2") as served:
            with browser() as running:
                shares, held = talk(running, served)
    how = (
        f"Real vLLM on the processor (blocks of {BLOCK} tokens, context 8,192, SmolLM2-135M), JupyterLab and the panel "
        f"in Chromium, the sample notebook attached, one cell edited and run between any two of {TURNS} turns; the "
        f"last prompt with its answer was {held:.0f} tokens."
    )
    return Section(
        "What of a conversation is read twice",
        how,
        rows(shares),
        packages=("jupyterlab", "httpx", "msgspec"),
    )


def rows(shares: list[float]) -> list[Row]:
    percents = [100 * share for share in shares]
    spread = ", ".join(f"{percent:.0f}" for percent in percents)
    return [
        Row("prefix reuse, mean", sum(percents) / len(percents), "%", least=90, detail=f"turn by turn: {spread}"),
        Row("the same, worst turn", min(percents), "%", least=80),
    ]


def talk(running: Browser, served: Served) -> tuple[list[float], float]:
    """Reuse in each turn after the first, and the tokens of the last turn."""
    config = f"\nc.Cellar.api_key = {KEY!r}\nc.Cellar.max_tokens = {ANSWER}\n"
    with lab(served.url, config) as server:
        context = running.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
        panel = Panel(context.new_page(), server).open()
        notebook = Notebook(panel.page)
        notebook.wait_for_kernel()
        shares: list[float] = []
        held = 0.0
        for turn, question in enumerate(QUESTIONS[:TURNS]):
            if turn:
                _edit_and_run(notebook, turn)
            before = served.metric(HITS)
            panel.ask(question)
            panel.expect_state("complete", "length", seconds=120)
            wait_until(lambda: served.metric(RUNNING) == 0, "vLLM to end the title, too", timeout=60)
            if turn:
                shares.append((served.metric(HITS) - before) / held)
            held = _spent(server)
        context.close()
    return shares, held


def _spent(server: Lab) -> int:
    """Prompt and answer of the newest turn, tokens."""
    (conversation,) = server.cellar("GET", "conversations")
    usage = server.cellar("GET", f"conversations/{conversation['id']}")["turns"][-1]["usage"]
    tokens: int = usage["prompt"] + usage["completion"]
    return tokens


def _edit_and_run(notebook: Notebook, turn: int) -> None:
    """A cell of code near the top gets another line and is run."""
    cell = notebook.root.locator(".jp-CodeCell .cm-content").nth(turn % 3)
    cell.click()
    notebook.page.keyboard.press("Control+End")
    notebook.page.keyboard.type(f"\n# turn {turn}")
    notebook.page.keyboard.press("Control+Enter")
    notebook.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )
