"""What Docker is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cellar_hub.settings import HubSettings
from cellar_hub.spawner.creation import Creation, environment
from cellar_hub.spawner.names import GPUS, PROFILE, Names
from cellar_hub.spawner.profiles import Profile

SETTINGS = HubSettings.from_env(
    {
        "CONFIGPROXY_AUTH_TOKEN": "0123456789abcdef",
        "CELLAR_GATEWAY_TOKEN": "0123456789abcdef",
        "CELLAR_WORKSPACE_IMAGES": "data=cellar-workspace:1",
        "CELLAR_SHARED_VOLUMES": "datasets wheels",
        "CELLAR_WHEELHOUSE_VOLUME": "wheels",
    }
)
PROFILE_ = Profile(name="small", title="Small", image="data", cpus=0.5, memory=1024**3, pids=256)


def creation(**changes: Any) -> Creation:
    plain = Creation(
        names=Names("cellar", "alice"),
        profile=PROFILE_,
        image="sha256:abc",
        command=["jupyterhub-singleuser"],
        environment={"A": "b"},
    )
    return replace(plain, **changes)


def test_limits_are_the_profiles_and_swap_is_none() -> None:
    host = creation().host(SETTINGS)
    assert host["mem_limit"] == host["memswap_limit"] == 1024**3
    assert (host["cpu_quota"], host["cpu_period"], host["pids_limit"]) == (50_000, 100_000, 256)


def test_nothing_of_the_host_is_mounted_and_shared_volumes_are_read_only() -> None:
    host = creation().host(SETTINGS)
    assert host["binds"] == [
        "cellar-ws-alice:/home/user:rw",
        "datasets:/srv/shared/datasets:ro",
        "wheels:/wheelhouse:ro",
    ]
    assert not {"privileged", "devices", "cap_add", "pid_mode", "port_bindings", "auto_remove"} & set(host)


def test_a_users_name_is_never_a_template() -> None:
    made = creation(names=Names("cellar", "{prefix}{0.__class__}")).container(SETTINGS)
    assert made["labels"]["org.cellar.user"] == "{prefix}{0.__class__}"


def test_gpus_are_given_by_their_ids_and_labelled() -> None:
    with_gpus = creation(gpus=("0", "2"))
    (request,) = with_gpus.host(SETTINGS)["device_requests"]
    assert request["DeviceIDs"] == ["0", "2"] and request["Count"] == 0
    assert with_gpus.container(SETTINGS)["labels"][GPUS] == "0,2"
    assert with_gpus.container(SETTINGS)["labels"][PROFILE] == "small"
    assert "device_requests" not in creation().host(SETTINGS)


def test_the_model_is_the_gateway_and_its_key_the_workspaces_own_token() -> None:
    nowhere = replace(SETTINGS, wheelhouse="")
    found = environment({"JUPYTERHUB_USER": "alice", "VLLM_API_KEY": "other"}, "token-of-alice", nowhere)
    assert found == {
        "JUPYTERHUB_USER": "alice",
        "VLLM_BASE_URL": "http://gateway:8080/v1",
        "VLLM_API_KEY": "token-of-alice",
        "CELLAR_GATEWAY": "1",
        "CELLAR_READ_TIMEOUT": "330",
    }


def test_a_workspace_is_more_patient_with_a_silent_model_than_the_gateway_whose_words_it_shall_hear() -> None:
    patient = replace(SETTINGS, read_timeout=900.0)
    assert environment({}, "token", patient)["CELLAR_READ_TIMEOUT"] == "930"


def test_pip_looks_for_packages_in_the_wheelhouse() -> None:
    assert environment({}, "token", SETTINGS)["PIP_FIND_LINKS"] == "/wheelhouse"


def test_pip_asks_a_mirror_that_the_administrator_names_and_no_other_index() -> None:
    mirror = "https://pypi.corp.example/simple"
    found = environment({}, "token", replace(SETTINGS, package_index=mirror))
    assert (found["PIP_INDEX_URL"], found["PIP_NO_INDEX"]) == (mirror, "0")
    assert "PIP_INDEX_URL" not in environment({}, "token", SETTINGS)


def test_a_runtime_is_asked_for_when_it_is_set() -> None:
    assert "runtime" not in creation().host(SETTINGS)
    assert creation().host(replace(SETTINGS, runtime="runsc"))["runtime"] == "runsc"
