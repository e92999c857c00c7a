"""The endpoint from an environment or the endpoint file: what is wrong is named, and keys are never shown."""

from __future__ import annotations

import pytest
from cellar.settings import (
    DEFAULT_BASE_URL,
    KEY_FOR,
    Endpoint,
    SettingsError,
    endpoint_from_env,
    endpoint_to_json,
    key_for,
    parse_endpoint,
)

FILE = Endpoint(base_url="http://gateway:8080/v1", api_key="hub-token", gateway=True, model="coder")


def test_an_empty_environment_means_the_laptops_own_server() -> None:
    assert endpoint_from_env({}) == Endpoint(base_url=DEFAULT_BASE_URL)
    assert DEFAULT_BASE_URL == "http://localhost:8001/v1"


def test_every_variable_is_read() -> None:
    env = {
        "VLLM_BASE_URL": " https://llm.example:8443/v1/ ",
        "VLLM_API_KEY": "key\n",
        "CELLAR_GATEWAY": "1",
        "CELLAR_MODEL": "coder",
        "CELLAR_CA_BUNDLE": "/etc/ssl/site.pem",
        "CELLAR_PROXY": "http://proxy:3128",
        "CELLAR_READ_TIMEOUT": "60",
        "CELLAR_MAX_TOKENS": "768",
    }
    assert endpoint_from_env(env) == Endpoint(
        base_url="https://llm.example:8443/v1",
        api_key="key",
        gateway=True,
        model="coder",
        ca_bundle="/etc/ssl/site.pem",
        proxy="http://proxy:3128",
        read_timeout=60.0,
        max_tokens=768,
    )


def test_the_environment_wins_over_the_file_field_by_field() -> None:
    assert endpoint_from_env({"CELLAR_MODEL": "other"}, FILE).model == "other"
    assert endpoint_from_env({"CELLAR_MODEL": "other"}, FILE).api_key == "hub-token"


def test_another_servers_address_does_not_get_the_files_key() -> None:
    assert endpoint_from_env({"VLLM_BASE_URL": "http://elsewhere:8001/v1"}, FILE) == Endpoint(
        base_url="http://elsewhere:8001/v1", key_withheld=True
    )
    assert endpoint_from_env({"VLLM_BASE_URL": FILE.base_url + "/"}, FILE) == FILE
    assert endpoint_from_env({"VLLM_BASE_URL": "http://GATEWAY:8080/v2"}, FILE).api_key == "hub-token"


SERVER = Endpoint(base_url="https://llm.example/v1", api_key="sk-of-the-server")
HANDED_ON = {"VLLM_BASE_URL": SERVER.base_url, "VLLM_API_KEY": SERVER.api_key, KEY_FOR: key_for(SERVER)}


@pytest.mark.parametrize("address", ["https://llm.example/v1", "https://LLM.example:443/other/v1"])
def test_a_key_that_a_server_handed_on_is_sent_to_its_own_origin(address: str) -> None:
    assert endpoint_from_env({**HANDED_ON, "VLLM_BASE_URL": address}).api_key == "sk-of-the-server"


@pytest.mark.parametrize(
    "address",
    ["http://llm.example/v1", "https://llm.example:8443/v1", "https://llm.example.org/v1", "http://localhost"],
)
def test_a_key_that_a_server_handed_on_is_sent_nowhere_else(address: str) -> None:
    assert endpoint_from_env({**HANDED_ON, "VLLM_BASE_URL": address}) == Endpoint(base_url=address, key_withheld=True)


def test_a_key_that_somebody_set_goes_where_they_say() -> None:
    both = {**HANDED_ON, "VLLM_BASE_URL": "http://mine/v1", "VLLM_API_KEY": "sk-mine"}
    assert endpoint_from_env(both) == Endpoint(base_url="http://mine/v1", api_key="sk-mine")
    del both[KEY_FOR]
    assert endpoint_from_env({**both, "VLLM_API_KEY": SERVER.api_key}).api_key == "sk-of-the-server"


def test_where_a_key_belongs_is_said_without_the_key() -> None:
    assert SERVER.api_key not in key_for(SERVER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_BASE_URL", "laptop:8001/v1"),
        ("VLLM_BASE_URL", "ftp://host/v1"),
        ("VLLM_BASE_URL", "http:///v1"),
        ("VLLM_BASE_URL", "http://host:99999/v1"),
        ("VLLM_BASE_URL", "http://[broken/v1"),
        ("VLLM_BASE_URL", "http://user:pass@host/v1"),
        ("VLLM_BASE_URL", "http://host/v1?key=1"),
        ("VLLM_BASE_URL", "http://host/v1 extra"),
        ("VLLM_API_KEY", "two\nlines"),
        ("VLLM_API_KEY", "키"),
        ("CELLAR_GATEWAY", "maybe"),
        ("CELLAR_PROXY", "proxy"),
        ("CELLAR_READ_TIMEOUT", "soon"),
        ("CELLAR_READ_TIMEOUT", "-1"),
        ("CELLAR_READ_TIMEOUT", "nan"),
        ("CELLAR_MAX_TOKENS", "many"),
        ("CELLAR_MAX_TOKENS", "-1"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        endpoint_from_env({name: value})
    assert str(refused.value).startswith(name + " ")
    assert refused.value.name == name
    assert value not in str(refused.value)


def test_the_file_comes_back_as_it_was_written() -> None:
    assert parse_endpoint(endpoint_to_json(FILE)) == FILE
    assert parse_endpoint(endpoint_to_json(Endpoint())) == Endpoint()


def test_a_file_of_a_newer_version_is_read() -> None:
    assert parse_endpoint(b'{"base_url": "http://host/v1", "colour": "red"}').base_url == "http://host/v1"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"base_url": 7}', b'{"base_url": "host"}', b'{"api_key": "a\\nb"}']
)
def test_a_broken_file_is_named(data: bytes) -> None:
    with pytest.raises(SettingsError, match=r"^cellar-endpoint\.json "):
        parse_endpoint(data)


def test_a_key_is_never_shown() -> None:
    assert "hub-token" not in repr(FILE)
