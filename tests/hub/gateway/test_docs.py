"""The manual's examples are read by what reads the files."""

from __future__ import annotations

import re
from pathlib import Path

from cellar_hub.gateway.metrics import Metrics
from cellar_hub.gateway.models import parse_models
from cellar_hub.policy import parse_policy

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "gateway.md").read_text()
TOML = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_examples_of_models_and_policy_are_good() -> None:
    models, policy = TOML
    table = parse_models(models, "docs", {"VLLM_LARGE_KEY": "key"})
    assert [name for name, _ in table.served({})] == ["coder-large", "embed"]
    member, ann = (parse_policy(policy, "docs").for_(name, ["research"]) for name in ("kim", "ann"))
    assert member.models == ann.models == {"coder-small", "coder-large"}
    assert (member.quota.per_day, ann.quota.per_day) == (1_000_000, 50_000)


def test_every_metric_is_in_the_manual() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    assert names and all(name in TEXT for name in names), names


def test_the_table_for_a_preset_of_two_models_is_good() -> None:
    (models,) = re.findall(r"```toml\n(.*?)```", (DOCS / "models.md").read_text(), re.DOTALL)
    table = parse_models(models, "docs", {"VLLM_API_KEY": "key"})
    assert [(row.model, row.server.root, row.roles) for row in table.rows] == [
        ("chat", "http://vllm:8001", ("chat",)),
        ("completion", "http://vllm-2:8001", ("completion",)),
    ]
