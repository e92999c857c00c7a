"""Dashboard and alerts ask only for what a gateway answers on its second port."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from cellar_hub.gateway import health
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.vllm import FakeVLLM
from tests.hub.gateway.conftest import Gateway, chat
from tests.hub.jupyter import Hub

FOLDER = Path(__file__).resolve().parents[3] / "hub_config" / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
EXPRESSIONS = [
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(rule["expr"] for group in ALERTS for rule in group["rules"]),
]
WORKED_OUT = {"le"}  # of a histogram's buckets


async def test_every_name_and_label_that_they_ask_for_is_answered(hub: Hub, gateway: Gateway, model: FakeVLLM) -> None:
    answer = await gateway.client(hub.user("ann", "llm")).post("/v1/chat/completions", json=chat(stream=True))
    assert answer.status_code == 200
    assert (await gateway.client("forged").get("/v1/models")).status_code == 401
    await gateway.settled()
    text = (await gateway.get_operations("/metrics")).text
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for expression in EXPRESSIONS:
        names = re.findall(r"\bcellar_[a-z_]+", expression)
        assert all(name in labels for name in names), expression
        asked = {word for group in re.findall(r"by \(([^)]*)\)", expression) for word in re.split(r",\s*", group)}
        asked |= set(re.findall(r"[{,]\s*([a-z_]+)=", expression)) - {"job"}
        answered = set[str]().union(*(labels[name] for name in names))
        assert asked <= answered | WORKED_OUT, expression


def test_what_is_asked_of_vllm_is_what_the_gateway_reads_of_it() -> None:
    asked = {value for expression in EXPRESSIONS for value in re.findall(r'value="([a-z_]+)"', expression)}
    assert asked and asked <= set(health._VALUES.values())


def test_the_dashboard_asks_no_address_and_its_panels_do_not_lie_on_each_other() -> None:
    assert not re.search(r"https?://", json.dumps(DASHBOARD))
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (place["x"] + right, place["y"] + down)
        for place in places
        for right in range(place["w"])
        for down in range(place["h"])
    ]
    assert len(cells) == len(set(cells)) and all(x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_every_alert_says_what_is_wrong_in_a_sentence() -> None:
    for group in ALERTS:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"].endswith("."), rule["alert"]
