"""vLLM instead of the embedded model: a real one, on the processor, in the overlay's own container. From here to the
last file the installation goes on with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.docker import vllm as overlay
from tests.docker.engine import TEST
from tests.docker.site.installation import LONG, SHORT, Installation
from tests.docker.site.leftovers import assert_the_audit_is_whole
from tests.docker.site.person import Person
from tests.ui.lab import wait_until
from tools import vllm_cpu

PACKAGES = "/vllm"
KEY = "a-key-that-only-the-gateway-has"
RUNNING = "vllm:num_requests_running"
ENDED = re.compile("complete|length")
ANSWER = 120_000  # ms; all share two cores
KILL = """
import os, signal
for each in filter(str.isdecimal, os.listdir("/proc")):
    with open(f"/proc/{each}/comm") as name:
        if name.read().startswith("VLLM::EngineCor"):
            os.kill(int(each), signal.SIGKILL)
"""


class VLLM:
    """The container, on the network that only gateway and model servers have."""

    def __init__(self, site: Installation, base: str, weights: Path) -> None:
        self.site = site
        self.client = site.client
        self.image = f"{site.name}-vllm:test"
        self.home = f"{site.name}-vllm-home"
        self.network = f"{site.name}_models"
        overlay.build(self.client, base, self.image)
        self.client.create_volume(self.home, labels={TEST: site.name})
        packages = next((vllm_cpu.home() / "env" / "lib").glob("python3.*/site-packages"))
        service = overlay.service(
            VLLM_WEIGHTS=str(weights.parent),
            VLLM_MODEL=weights.name,
            VLLM_API_KEY=KEY,
            VLLM_SERVE="--gpu=8 --context=4096",
            VLLM_OPTIONS="--enforce-eager --block-size=32 --max-num-batched-tokens=256",
        )
        self.container = overlay.create(
            self.client,
            self.image,
            service,
            home=self.home,
            label=site.name,
            binds=[f"{packages}:{PACKAGES}:ro", *(f"{path}:{path}:ro" for path in vllm_cpu.libraries())],
            env={"PYTHONPATH": f"{service['environment']['PYTHONPATH']}:{PACKAGES}", "VLLM_CPU_KVCACHE_SPACE": "1"},
            network=self.network,
        )

    def start(self) -> None:
        self.client.start(self.container)

    @property
    def url(self) -> str:
        return f"http://{self.site.address(self.container, self.network)}:8001"

    def log(self) -> str:
        return str(self.client.logs(self.container, tail=60).decode())

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_known(self) -> None:
        """It is ready, and the gateway tells users so."""
        try:
            wait_until(self.healthy, "vLLM", timeout=180)
        except AssertionError as late:
            raise AssertionError(self.log()) from late
        wait_until(lambda: self.site.me("ada").get("models", [{}])[0].get("state") == "up", "it to be known")

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self.url}/metrics", trust_env=False).text
        return sum(map(float, re.findall(rf"^{re.escape(name)}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)))

    def end(self) -> None:
        self.client.remove_container(self.container, force=True, v=True)
        self.client.remove_image(self.image)


def talkative(folder: Path) -> Path:
    """The model without an end of its own: a small one may say little, and a test wants to do something meanwhile."""
    weights = folder / vllm_cpu.weights().name
    shutil.copytree(vllm_cpu.weights(), weights)
    for name, changes in (
        ("config.json", {"eos_token_id": 16}),
        ("generation_config.json", {"eos_token_id": 16}),
        ("tokenizer_config.json", {"eos_token": "<empty_output>"}),
    ):
        file = weights / name
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    folder.chmod(0o755)
    return weights


@pytest.fixture(scope="module")
def vllm(
    site: Installation, base: str, two: tuple[Person, Person], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VLLM]:
    if not vllm_cpu.there():
        pytest.skip("vLLM for processors is missing: `python -m tools.vllm_cpu` makes it")
    made = VLLM(site, base, talkative(tmp_path_factory.mktemp("weights")))
    try:
        made.start()
        site.policy(SHORT)
        site.set(VLLM_BASE_URL="http://vllm:8001/v1", VLLM_API_KEY=KEY, CELLAR_PRIORITY="on", CELLAR_MAX_INFLIGHT="16")
        made.wait_until_known()
        yield made
        site.set(VLLM_BASE_URL="", VLLM_API_KEY="", CELLAR_PRIORITY="", CELLAR_MAX_INFLIGHT="")
    finally:
        made.end()


def last_usage(person: Person) -> dict[str, Any]:
    newest = person.conversations()[0]["id"]
    turn = person.ask("GET", f"cellar/api/conversations/{newest}")["turns"][-1]
    usage: dict[str, Any] = turn["usage"]
    return usage


def answer_length(person: Person) -> int:
    """Tokens at most; the workspace asks the gateway for its policy now and then, when its status is asked for."""
    person.ask("GET", "cellar/api/status")
    longest: int = person.ask("POST", "cellar/api/context/preview", {"text": "How long?"})["max_tokens"]
    return longest


def test_the_panel_answers_and_a_second_question_reads_only_what_is_new(ada: Person, vllm: VLLM) -> None:
    ada.page.goto(ada.url("lab"))
    ada.panel.wait_for_app()
    ada.panel.show()
    for question in ("Name a colour, please. " * 20, "And another one."):
        ada.panel.ask(question)
        expect(ada.panel.last_turn).to_have_attribute("data-state", ENDED, timeout=ANSWER)
        expect(ada.panel.last_answer).not_to_be_empty()
    usage = last_usage(ada)
    assert usage["prompt"] - 64 < usage["cached"] + 40 and usage["cached"] > 100
    ada.shot("13-vllm")
    assert "Name a colour" not in vllm.log()


def test_the_magics_answer_in_a_notebook(ada: Person, vllm: VLLM) -> None:
    ada.open_notebook("magics.ipynb", "%%ai\nSay hello.")  # the one that is open already, if there is one
    card = ada.run_cell(0).locator(".jp-Cellar-card")
    expect(card).to_have_attribute("data-state", ENDED, timeout=ANSWER)
    expect(card).not_to_be_empty()
    ada.shot("14-vllm-magics")


def test_stop_in_the_panel_frees_vllm(site: Installation, ada: Person, vllm: VLLM) -> None:
    site.policy(LONG)
    wait_until(lambda: answer_length(ada) > 16, "her workspace to know the new policy")
    ada.panel.show()
    ada.panel.ask("Tell me a very long story about the sea.")
    wait_until(lambda: vllm.metric(RUNNING) == 1, "the answer to run", timeout=60)
    ada.panel.stop()
    wait_until(lambda: vllm.metric(RUNNING) == 0, "vLLM to be free", timeout=2)
    expect(ada.panel.last_turn).to_have_attribute("data-state", "stopped")


@pytest.mark.long  # two minutes, most of it the start of vLLM; tests/vllm/contract/test_gateway.py kills one, too
def test_an_engine_that_dies_is_said_and_after_its_restart_the_question_is_answered(
    site: Installation, ada: Person, vllm: VLLM
) -> None:
    before = site.started_at(vllm.container)
    ada.panel.show()
    ada.panel.ask("Tell me a very long story about the moon.")
    wait_until(lambda: vllm.metric(RUNNING) == 1, "the answer to run", timeout=60)
    subprocess.run(["docker", "exec", vllm.container, "python3", "-c", KILL], check=True)
    expect(ada.panel.last_turn).to_have_attribute("data-state", re.compile("error|interrupted"), timeout=ANSWER)
    ada.shot("15-vllm-died")
    wait_until(lambda: site.started_at(vllm.container) != before, "Docker to start it again", timeout=60)
    vllm.wait_until_known()
    ada.panel.last_turn.get_by_role("button", name="Try again").first.click()
    expect(ada.panel.last_answer).not_to_be_empty(timeout=ANSWER)
    ada.panel.stop()
    expect(ada.panel.last_turn).to_have_attribute("data-state", "stopped")
    assert_the_audit_is_whole(site)
