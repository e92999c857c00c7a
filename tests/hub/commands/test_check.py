"""`cellar-hub check` in the gateway's place: a real hub, a fake model server in several moods."""

from __future__ import annotations

from pathlib import Path

import pytest
from cellar_hub.commands.program import run

from tests.fakes.vllm import FakeVLLM, Scenario
from tests.hub.jupyter import Hub


@pytest.fixture
def env(hub: Hub, model: FakeVLLM, tmp_path: Path) -> dict[str, str]:
    return {
        "CELLAR_DATA": str(tmp_path),
        "CELLAR_HUB_API_URL": hub.api,
        "CELLAR_GATEWAY_TOKEN": hub.gateway_token,
        "VLLM_BASE_URL": model.url,
    }


def test_all_is_well_when_books_hub_clock_and_model_are(
    env: dict[str, str], model: FakeVLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    model.use(Scenario(words=24, rate=100.0))
    assert run(["check"], env) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:-1]] == [
        "ok    versions",
        "ok    books",
        "ok    policy",
        "ok    hub, as the gateway sees it",
        "ok    clock",
        "ok    model server http",
        "ok    clock of model server http",
    ]
    assert said[-1] == "Everything works together."


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"VLLM_BASE_URL": "http://127.0.0.1:9/v1"}, "nobody answers there"),
        ({"CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api"}, "the hub does not answer"),
        ({"CELLAR_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/none"}, "books"),
    ],
    ids=["model", "hub", "books"],
)
def test_what_is_down_is_named_and_the_rest_is_checked_all_the_same(
    change: dict[str, str], failed: str, env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check"], env | change) == 1
    said = capsys.readouterr().out
    assert any(line.startswith("FAIL") and failed in line for line in said.splitlines())
    assert "ok    versions" in said


def test_a_model_server_that_is_cut_off_in_the_middle_is_told(
    env: dict[str, str], broken_model: FakeVLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check"], env) == 1
    assert "FAIL  model server" in capsys.readouterr().out


def test_a_policy_is_judged_as_it_stands_on_the_disk(
    env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway that runs goes on with the last good one, and only its log says so."""
    path = tmp_path / "policy.toml"
    path.write_text("[groups.a]\n[users.ann]\ntools = true\n")
    run(["check"], env | {"CELLAR_POLICY": str(path)})
    assert "ok    policy: 1 groups, 1 users, 0 announcements" in capsys.readouterr().out
    path.write_text("[users.Ann]\ntools = true\n")
    assert run(["check"], env | {"CELLAR_POLICY": str(path)}) == 1
    assert f"FAIL  policy: CELLAR_POLICY ({path}) has [users.Ann]" in capsys.readouterr().out


def test_a_wrong_setting_ends_it_with_its_name(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check"], env | {"CELLAR_MAX_INFLIGHT": "many"}) == 2
    assert capsys.readouterr().err.startswith("cellar-hub: CELLAR_MAX_INFLIGHT")


def test_in_the_hubs_place_nothing_that_is_away_ends_the_doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {
        "CONFIGPROXY_AUTH_TOKEN": "proxy-token-0123456789",
        "CELLAR_GATEWAY_TOKEN": "gateway-token-0123456789",
        "CELLAR_WORKSPACE_IMAGES": "data=cellar-workspace:1",
        "CELLAR_DATA": str(tmp_path),
        "CELLAR_HUB_API_URL": "http://127.0.0.1:9/hub/api",
        "CELLAR_HUB_DATABASE_URL": "postgresql+psycopg://hub:pass-0123@127.0.0.1:9/hub",
        "CELLAR_GATEWAY_OPERATIONS_URL": "http://127.0.0.1:9",
        "DOCKER_HOST": "tcp://127.0.0.1:9",
    }
    assert run(["check"], env) == 1
    said = capsys.readouterr().out
    failed = [line.partition(": ")[0] for line in said.splitlines() if line.startswith("FAIL")]
    names = ("hub", "hub's database", "clock", "clock of the hub's database", "Docker", "image data", "isolation")
    assert failed == [f"FAIL  {name}" for name in (*names, "gateway")]
    assert "pass-0123" not in said and said.endswith("8 of 11 checks failed.\n")


def test_where_no_service_runs_it_says_where_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check"], {}) == 2
    assert "hub_config/compose/cellar-hub check" in capsys.readouterr().err
