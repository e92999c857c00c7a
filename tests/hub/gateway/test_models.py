"""The table of model servers."""

from __future__ import annotations

import pytest
from cellar.settings import SettingsError
from cellar_hub.gateway.models import one_server, parse_models

TABLE = """
[[models]]
model = "large"
base_url = "http://gpu1:8000/v1/"
key_variable = "LARGE_KEY"
max_inflight = 8
groups = ["research"]
priority = true

[[models]]
model = "large-lora"
base_url = "http://gpu1:8000/v1"
key_variable = "LARGE_KEY"
max_inflight = 8
priority = true

[[models]]
model = "embed"
base_url = "http://gpu2:8000/v1"
roles = ["embeddings"]
"""
ROW = "[[models]]\nmodel='%s'\nbase_url='http://h/v1'"
ENV = {"LARGE_KEY": "secret"}


def test_rows_with_one_address_are_one_server() -> None:
    table = parse_models(TABLE, "models.toml", ENV)
    assert [server.base_url for server in table.servers] == ["http://gpu1:8000/v1", "http://gpu2:8000/v1"]
    large = table.find("large", {})
    assert large is not None and large.server.key == "secret" and large.server.root == "http://gpu1:8000"
    assert large.open_to(["x", "research"]) and not large.open_to(["x"])
    assert table.find("unknown", {"http://gpu2:8000/v1": ["unknown"]}) is None


def test_a_row_may_name_the_servers_behind_its_router() -> None:
    text = ROW % "m" + "\nworkers=['http://gpu1:8001', 'http://gpu2:8001']"
    (server,) = parse_models(text, "models.toml", {}).servers
    assert server.workers == ("http://gpu1:8001", "http://gpu2:8001")


def test_the_file_may_be_json() -> None:
    table = parse_models('{"models": [{"model": "m", "base_url": "http://h/v1"}]}', "models.json", {})
    assert [name for name, _ in table.served({})] == ["m"]


def test_one_address_alone_stands_for_what_it_lists() -> None:
    table = one_server("http://vllm:8001/v1", "key")
    listed = {"http://vllm:8001/v1": ["a", "b"]}
    assert [name for name, _ in table.served(listed)] == ["a", "b"]
    assert table.find("b", listed) is not None and table.find("c", listed) is None


def test_no_key_shows_when_a_table_is_printed() -> None:
    assert "secret" not in repr(parse_models(TABLE, "models.toml", ENV).servers)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ROW % "m" + "\nworkers=['gpu1:8001']", "workers must be addresses like http://gpu1:8001"),
        ("models = 5", "wrong value"),
        ("models = []", "names no model"),
        ("[[models]]\nmodel='m'", "base_url"),
        ("[[models]]\nmodel='m'\nbase_url='ftp://h'", "wrong address"),
        ("[[models]]\nmodel='m'\nbase_url='http://u:p@h/v1'", "wrong address"),
        ("[[models]]\nmodel='m'\nbase_url='http://h/v1'\nkey_variable='NOT_SET'", "NOT_SET"),
        ("[[models]]\nmodel='m'\nbase_url='http://h/v1'\nmax_inflight=0", "max_inflight"),
        ("[[models]]\nmodel='m'\nbase_url='http://h/v1'\nroles=['speech']", "roles"),
        ("[[models]]\nmodel='m'\nbase_url='http://h/v1'\nroles=[]", "no role"),
        ("[[models]]\nmodel=''\nbase_url='http://h/v1'", "no usable model name"),
        ("[[models]]\nmodel='m'\nbase_url='http://h/v1'\nurl='x'", "unknown field `url`"),
        ("[[models]]\nmodel='m'\nbase_url='http://h/v1'\n[[models]]\nmodel='m'\nbase_url='http://i/v1'", "twice"),
        (f"{ROW % 'm'}\n{ROW % 'n'}\nmax_inflight=2", "another"),
        ("nonsense", "neither TOML nor JSON"),
        ("{", "neither TOML nor JSON"),
    ],
)
def test_a_wrong_table_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_models(text, "/etc/cellar/models.toml", ENV)
    assert str(refused.value).startswith("/etc/cellar/models.toml ") and said in str(refused.value)
