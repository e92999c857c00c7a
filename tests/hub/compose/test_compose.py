"""The compose files: read by old and new compose, every setting documented and handed on, nothing open without need."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from cellar.settings import SettingsError
from cellar_hub.doctor.settings import ProxySettings
from cellar_hub.policy import Allowed
from cellar_hub.policyfile import check_text
from cellar_hub.settings import ConsoleSettings, ForwarderSettings, GatewaySettings, HubSettings, described
from cellar_vllm.program import parser as cellar_vllm_parser

from tools import configure_page, env_example, images
from tools.env_example import COMPOSE, FIXED, PAGE, page, sections
from tools.hub import GATEWAY_ENV, Stack, gateway_env, images_of, write_gateway_env, write_private

BASE = COMPOSE / "docker-compose.yml"
OVERLAYS = sorted(COMPOSE.glob("docker-compose.*.yml"))
NEEDED = (
    *("CONFIGPROXY_AUTH_TOKEN", "CELLAR_GATEWAY_TOKEN", "CELLAR_COMMANDS_TOKEN", "CELLAR_CONSOLE_TOKEN"),
    "CELLAR_FORWARDER_TOKEN",
    "DOCKER_GID",
)
OF_VLLM = ("VLLM_API_KEY", "VLLM_MODEL", "VLLM_SERVE", "VLLM_2_MODEL", "VLLM_2_SERVE")
SECRETS = dict.fromkeys((*env_example.SECRETS, *OF_VLLM), "0123456789abcdef")
SIDES = ("proxy", "hub", "gateway", "console", "socketfilter", "model")
OF_OVERLAYS = ("postgres", "redis", "tls", "vllm", "vllm-2", "router")
MANY = dict.fromkeys(("vllm", "vllm-2"), 4096)
"""Processes and threads of what needs more than others."""


def services(file: Path = BASE) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["services"]
    return found


def overlay(name: str) -> Path:
    return COMPOSE / f"docker-compose.{name}.yml"


def commands() -> list[list[str]]:
    found = [["docker-compose"]] if shutil.which("docker-compose") else []
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        found.append(["docker", "compose"])
    return found


def configured(command: list[str], files: list[Path], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    arguments = [word for path in files for word in ("-f", str(path))]
    with tempfile.NamedTemporaryFile() as no_keys:
        home = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        whole = home | {"CELLAR_GATEWAY_ENV": no_keys.name} | env
        return subprocess.run([*command, *arguments, "config"], env=whole, capture_output=True, text=True)


def test_the_example_of_settings_says_what_the_programs_say() -> None:
    assert PAGE.read_text() == page(), "python -m tools.env_example"


def test_every_setting_is_on_the_page_of_settings_which_says_what_the_programs_say() -> None:
    text = configure_page.PAGE.read_text()
    assert text == configure_page.page(), "python -m tools.configure_page"
    read = {variable for kind in configure_page.classes() for variable, _, _ in described(kind)}
    assert len(configure_page.classes()) >= 5
    assert [variable for variable in sorted(read) if f"| `{variable}` |" not in text] == []


def test_every_variable_of_the_compose_files_is_in_the_example_and_the_other_way_round() -> None:
    text = "".join(path.read_text() for path in (BASE, *OVERLAYS))
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    told = {variable for _, entries in sections() for variable, _, _ in entries}
    assert used == told


@pytest.mark.parametrize(
    ("service", "kind"),
    [("hub", HubSettings), ("gateway", GatewaySettings), ("console", ConsoleSettings), ("proxy", ProxySettings)],
)
def test_a_service_is_handed_every_setting_that_it_reads(service: str, kind: type[Any]) -> None:
    assert {variable for variable, _, _ in described(kind)} - set(services()[service]["environment"]) == set()


def test_a_service_answers_on_each_network_for_its_address_there_alone() -> None:
    """Else a workspace finds the gateway's operations, the databases' side of it, and so on, by asking for them."""
    found = {name: each for path in OVERLAYS for name, each in yaml.safe_load(path.read_text())["services"].items()}
    attached = [each for each in (found | services()).values() if "org.cellar.service" in each.get("labels", {})]
    assert len(attached) == 5
    assert all(each["sysctls"]["net.ipv4.conf.all.arp_ignore"] == "1" for each in attached)


def test_a_default_in_the_compose_file_is_the_one_in_the_example() -> None:
    told = {variable: default for _, entries in sections() for variable, default, _ in entries}
    for path in (BASE, *OVERLAYS):
        for variable, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}]+)\}", path.read_text()):
            more = path in (overlay("vllm"), overlay("router"))  # a GPU answers more, two of them still more
            if not (more and variable == "CELLAR_MAX_INFLIGHT"):
                assert default == told[variable], variable


def test_what_the_compose_file_fixes_is_no_setting() -> None:
    told = {variable for _, entries in sections() for variable, _, _ in entries}
    assert told & FIXED == set()


@pytest.mark.parametrize("overlays", [[], *[[path] for path in OVERLAYS], OVERLAYS], ids=lambda paths: len(paths))
def test_compose_reads_the_files(overlays: list[Path]) -> None:
    found = commands()
    if not found:
        pytest.skip("docker-compose is missing")
    for command in found:
        done = configured(command, [BASE, *overlays], SECRETS)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_secret_is_named(name: str) -> None:
    found = commands()
    if not found:
        pytest.skip("docker-compose is missing")
    for command in found:
        done = configured(command, [BASE, COMPOSE / "docker-compose.intranet.yml"], SECRETS | {name: ""})
        assert done.returncode != 0
        assert name in done.stderr


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "POSTGRES_HUB_PASSWORD"])
def test_a_missing_password_of_the_database_is_named(name: str) -> None:
    for command in commands():
        done = configured(command, [BASE, overlay("postgres")], SECRETS | {name: ""})
        assert done.returncode != 0
        assert name in done.stderr


def test_hub_and_gateway_have_a_role_and_a_password_each_and_send_it_to_nobody_in_the_clear() -> None:
    found = services(overlay("postgres"))
    urls = {
        "hub": found["hub"]["environment"]["CELLAR_HUB_DATABASE_URL"],
        "gateway": found["gateway"]["environment"]["CELLAR_DATABASE_URL"],
        "console": found["console"]["environment"]["CELLAR_DATABASE_URL"],
    }
    where = "@postgres/{}?require_auth=scram-sha-256"
    assert urls == {
        "hub": "postgresql+psycopg://cellar_hub:${POSTGRES_HUB_PASSWORD}" + where.format("jupyterhub"),
        "gateway": "postgresql+psycopg://cellar_books:${POSTGRES_PASSWORD}" + where.format("cellar"),
        "console": "postgresql+psycopg://cellar_books:${POSTGRES_PASSWORD}" + where.format("cellar"),
    }


def test_the_databases_are_on_their_own_network_alone_and_https_stands_before_the_proxy_alone() -> None:
    for name, network in (("postgres", "data"), ("redis", "data"), ("tls", "front")):
        service = services(overlay(name))[name]
        assert service["networks"] == [network]
        assert ("ports" in service) == (name == "tls")
    assert yaml.safe_load(BASE.read_text())["networks"]["data"] == {"internal": True}


def test_whoever_needs_no_name_of_the_building_asks_for_none_and_only_whole_names_are_asked_for() -> None:
    """Else the building's DNS answers for a container that does not run just now."""
    found = services() | {name: services(overlay(name))[name] for name in OF_OVERLAYS}
    asking = {name for name, each in found.items() if "network_mode" not in each}
    assert all(found[name]["dns_search"] == ["."] for name in asking)
    servers = {name: found[name].get("dns") for name in asking}
    assert servers.pop("gateway") is None
    assert servers.pop("hub") == ["${CELLAR_HUB_DNS:-127.0.0.1}"]
    assert servers.pop("router") == ["${VLLM_ROUTER_DNS:-127.0.0.1}"]
    assert all(each == ["127.0.0.1"] for each in servers.values())


def test_only_the_filter_has_the_docker_socket_and_it_has_no_network() -> None:
    found = services()
    holders = [name for name, service in found.items() if "/var/run/docker.sock" in str(service.get("volumes"))]
    assert holders == ["socketfilter"]
    assert found["socketfilter"]["network_mode"] == "none"


def test_only_the_proxy_has_a_port_outside_and_on_this_machine_alone_unless_told() -> None:
    assert {name: each["ports"] for name, each in services().items() if "ports" in each} == {
        "proxy": ["${CELLAR_LISTEN:-127.0.0.1}:${CELLAR_PORT:-8000}:8000"]
    }


def test_only_the_gateway_knows_the_model_servers_key_and_shares_their_network() -> None:
    found = services()
    assert [name for name in found if "VLLM_API_KEY" in found[name].get("environment", {})] == ["gateway"]
    assert [name for name in found if "models" in found[name].get("networks", [])] == ["gateway", "model"]


@pytest.mark.parametrize("overlays", [[], OVERLAYS], ids=lambda paths: len(paths))
def test_the_model_servers_keys_reach_the_gateway_and_no_other_container(tmp_path: Path, overlays: list[Path]) -> None:
    keys = tmp_path / "keys.env"
    write_private(keys, GATEWAY_ENV + "VLLM_LARGE_KEY=key-0123456789\n")
    found = commands()
    if not found:
        pytest.skip("docker-compose is missing")
    for command in found:
        done = configured(command, [BASE, *overlays], SECRETS | {"CELLAR_GATEWAY_ENV": str(keys)})
        assert done.returncode == 0, done.stderr
        handed = {name: each for name, each in yaml.safe_load(done.stdout)["services"].items() if "key-01" in str(each)}
        assert list(handed) == ["gateway"]
        assert handed["gateway"]["environment"]["VLLM_LARGE_KEY"] == "key-0123456789"
        assert handed["gateway"]["environment"]["CELLAR_GATEWAY_TOKEN"] == SECRETS["CELLAR_GATEWAY_TOKEN"]


def test_the_file_of_keys_is_made_for_its_owner_alone_and_never_written_over(tmp_path: Path) -> None:
    keys = gateway_env({"CELLAR_GATEWAY_ENV": str(tmp_path / "gateway.env")})
    write_gateway_env(keys)
    assert keys.stat().st_mode & 0o777 == 0o600 and all(line.startswith("#") for line in keys.read_text().splitlines())
    keys.write_text("A=b\n")
    keys.chmod(0o644)
    write_gateway_env(keys)
    assert (keys.stat().st_mode & 0o777, keys.read_text()) == (0o600, "A=b\n")
    assert gateway_env({}) == COMPOSE / "gateway.env"


def test_only_hub_and_proxy_share_the_proxys_socket_and_only_hub_and_filter_the_filters() -> None:
    found = services()
    for volume, holders in (("proxy-socket", ["proxy", "hub"]), ("filter-socket", ["hub", "socketfilter"])):
        assert [name for name in found if any(str(v).startswith(volume) for v in found[name].get("volumes", []))] == (
            holders
        )


@pytest.mark.parametrize("name", [*SIDES, *OF_OVERLAYS])
def test_a_service_is_hardened_checked_and_bounded(name: str) -> None:
    service = services(overlay(name) if overlay(name).is_file() else BASE)[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["pids_limit"] <= MANY.get(name, 512)
    assert service["logging"]["options"]["max-size"]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"


def test_only_the_services_that_workspaces_reach_carry_the_label_that_lets_them_be_attached() -> None:
    marked = {name: s["labels"]["org.cellar.service"] for name, s in services().items() if "labels" in s}
    assert marked == {"proxy": "proxy", "hub": "hub", "gateway": "gateway"}


def test_the_example_holds_no_secret() -> None:
    lines = PAGE.read_text().splitlines()
    secrets = env_example.SECRETS
    assert [line for line in lines if line.startswith(secrets)] == [f"{name}=" for name in secrets]
    assert set(secrets) == {*NEEDED, "POSTGRES_PASSWORD", "POSTGRES_HUB_PASSWORD"}


def test_the_policy_lies_in_a_volume_that_begins_with_the_images_file_and_limits_nobody() -> None:
    where = "/var/lib/cellar-policy/policy.toml"
    found = services() | services(overlay("intranet"))
    readers = {
        name: each for name, each in (services() | FORWARDERS).items() if name in ("hub", "gateway", *FORWARDERS)
    }
    assert len(readers) == 4
    for name, each in readers.items():
        assert each["environment"]["CELLAR_POLICY"] == f"${{CELLAR_POLICY:-{where}}}", name
        assert "policy:/var/lib/cellar-policy:ro" in each["volumes"], name
    others = {name for name, each in found.items() if "policy:" in str(each.get("volumes"))} - set(readers)
    assert others <= {"console"}, "nobody else"
    folder = images.IMAGES / "hub"
    assert "install -m 0640 -o cellar -g cellar /tmp/policy.toml /var/lib/cellar-policy/" in (
        (folder / "Dockerfile").read_text()
    )
    policy = check_text((folder / "policy.toml").read_text(), "policy.toml")
    assert (policy.for_("ann", []), policy.announcements) == (Allowed(), ())


@pytest.mark.parametrize(
    ("named", "read"),
    [
        ("/etc/cellar/site/policy.toml", "/etc/cellar/site/policy.toml"),
        ("", "/var/lib/cellar-policy/policy.toml"),
    ],
    ids=["a site that has one of its own", "a site that has none"],
)
def test_a_site_that_is_upgraded_keeps_its_policy(named: str, read: str) -> None:
    for command in commands():
        done = configured(command, [BASE, overlay("intranet")], SECRETS | {"CELLAR_POLICY": named})
        found = yaml.safe_load(done.stdout)["services"]
        told = {
            name: each["environment"]["CELLAR_POLICY"] for name, each in found.items() if "CELLAR_POLICY" in str(each)
        }
        assert told == dict.fromkeys(("hub", "gateway", "console", *FORWARDERS), read)
        assert all("/etc/cellar/site" in str(found[name]["volumes"]) for name in told)


INTRANET = yaml.safe_load((COMPOSE / "docker-compose.intranet.yml").read_text())
FORWARDERS = {name: each for name, each in INTRANET["services"].items() if name.startswith("forwarder-")}


@pytest.mark.parametrize("name", FORWARDERS)
def test_a_forwarder_is_hardened_as_the_services_are_and_has_a_number_of_its_own(name: str) -> None:
    service = FORWARDERS[name]
    for key in ("cap_drop", "security_opt", "read_only", "restart", "init", "tmpfs", "logging", "image"):
        assert service[key] == services()["hub"][key]
    number = name.removeprefix("forwarder-")
    assert service["labels"]["org.cellar.forwarder"] == service["environment"]["CELLAR_FORWARDER_NUMBER"] == number
    assert service["healthcheck"]["test"] and service["pids_limit"] <= 512 and "ports" not in service


def test_forwarders_read_what_the_hub_writes_and_hold_neither_its_secrets_nor_its_data() -> None:
    for service in FORWARDERS.values():
        assert service["volumes"][0] == "leases:/run/cellar-leases:ro" and len(service["volumes"]) == 3
        assert [each for each in service["environment"] if each.endswith("TOKEN")] == ["CELLAR_FORWARDER_TOKEN"]
        assert service["networks"] == ["control", "intranet"]
    numbers = {INTRANET["services"][side]["environment"]["CELLAR_FORWARDERS"] for side in ("hub", "gateway")}
    assert numbers == {str(len(FORWARDERS))}


def test_a_forwarder_is_handed_every_setting_that_it_reads() -> None:
    told = {variable for variable, _, _ in described(ForwarderSettings)}
    assert all(set(each["environment"]) == told for each in FORWARDERS.values())


@pytest.mark.parametrize("command", commands(), ids=lambda words: words[0])
def test_vllm_is_not_root_and_finds_all_that_it_writes_in_its_home_or_in_memory(command: list[str]) -> None:
    done = configured(command, [BASE, overlay("vllm")], SECRETS)
    assert done.returncode == 0, done.stderr
    rendered = yaml.safe_load(done.stdout)
    vllm = rendered["services"]["vllm"]
    environment = vllm["environment"]
    home = environment["HOME"]
    assert vllm["user"] == "2000:0"
    mounted = [each if isinstance(each, str) else f"{each['source']}:{each['target']}" for each in vllm["volumes"]]
    assert any(each.startswith(f"vllm-home:{home}") for each in mounted)
    assert vllm["tmpfs"] == ["/tmp:exec"] and vllm["shm_size"]
    written = [value for name, value in environment.items() if name.endswith(("_DIR", "_ROOT", "_CACHE_HOME"))]
    assert written and all(value.startswith(f"{home}/") for value in written)
    weights = next(each for each in vllm["volumes"] if "/models" in str(each))
    assert str(weights).endswith(":ro") or weights["read_only"]


@pytest.mark.parametrize("command", commands(), ids=lambda words: words[0])
def test_vllm_is_served_by_the_one_command_of_all_three_ways(command: list[str]) -> None:
    settings = {"VLLM_MODEL": "qwen3-coder", "VLLM_SERVE": "--preset=24gb --gpus=2", "VLLM_OPTIONS": "--seed=1"}
    done = configured(command, [BASE, overlay("vllm")], SECRETS | settings)
    assert done.returncode == 0, done.stderr
    vllm = yaml.safe_load(done.stdout)["services"]["vllm"]
    words = shlex.split(vllm["command"]) if isinstance(vllm["command"], str) else vllm["command"]
    asked = cellar_vllm_parser().parse_args(words)
    assert (asked.command, str(asked.weights), asked.preset, asked.gpus) == ("serve", "/models/qwen3-coder", "24gb", 2)
    assert (asked.host, asked.port, asked.options) == ("0.0.0.0", 8001, ["--seed=1"])
    code = next(each for each in vllm["volumes"] if "/opt/cellar" in str(each))
    folder = code.split(":")[0] if isinstance(code, str) else code["source"]
    assert (Path(folder) / "program.py").is_file()


def test_the_second_vllm_is_as_the_first_but_for_its_model_card_and_volume() -> None:
    first, second = services(overlay("vllm"))["vllm"], services(overlay("vllm-2"))["vllm-2"]
    own = {"VLLM_MODEL", "VLLM_SERVE", "VLLM_SERVED_NAME", "VLLM_GPU", "VLLM_OPTIONS"}
    text = str(first).replace("vllm-home", "vllm-2-home").replace("${VLLM_GPU:-0}", "${VLLM_GPU:-1}")
    for name in own:
        text = text.replace(f"${{{name}:", f"${{{name.replace('VLLM_', 'VLLM_2_')}:")
    assert str(second) == text


@pytest.mark.parametrize("command", commands(), ids=lambda words: words[0])
def test_the_gateway_asks_the_router_and_the_router_two_servers_of_this_machine_or_those_that_are_named(
    command: list[str],
) -> None:
    for named in ("", "http://gpu1.corp:8001 http://gpu2.corp:8001"):
        files = [overlay(name) for name in ("vllm", "vllm-2", "router")] if not named else [overlay("router")]
        done = configured(command, [BASE, *files], SECRETS | {"VLLM_ROUTER_WORKERS": named})
        assert done.returncode == 0, done.stderr
        found = yaml.safe_load(done.stdout)["services"]
        gateway, router = found["gateway"]["environment"], found["router"]
        workers = named or "http://vllm:8001 http://vllm-2:8001"
        assert (gateway["VLLM_BASE_URL"], gateway["VLLM_ROUTER_WORKERS"]) == ("http://router:8001/v1", workers)
        words = shlex.split(router["command"]) if isinstance(router["command"], str) else router["command"]
        assert words[-3:] == ["--worker-urls", *workers.split()]
        assert list(router["networks"]) == ["models"] and "ports" not in router and "environment" not in router
        assert "model" not in found or found["model"]["profiles"] == ["embedded"]


@pytest.mark.parametrize(
    "value", ["gpu1:8001", "http://gpu1:8001/v1", "http://a:1 http://a:1", "ftp://gpu1", "http://["]
)
def test_a_wrong_address_of_a_server_behind_the_router_is_refused_by_name_at_the_gateways_start(value: str) -> None:
    with pytest.raises(SettingsError, match="VLLM_ROUTER_WORKERS"):
        GatewaySettings.from_env({"VLLM_BASE_URL": "http://router:8001/v1", "VLLM_ROUTER_WORKERS": value})


def test_make_hub_reads_the_routers_overlay_behind_those_of_its_servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last word on where the gateway asks is the router's."""
    if not commands():
        pytest.skip("docker-compose is missing")
    monkeypatch.setenv("OVERLAYS", "router vllm vllm-2")
    stack = Stack({"CELLAR_GATEWAY_ENV": str(tmp_path / "gateway.env")})
    assert stack.files == [BASE, *map(overlay, ("vllm", "vllm-2", "router"))]
    assert images_of(stack.overlays) == ["hub", "workspace", "router"]


def test_the_manuals_command_without_containers_is_that_of_the_overlay() -> None:
    text = (COMPOSE.parents[1] / "docs" / "models.md").read_text()
    (told,) = re.findall(r"^    (vllm-router (?:.*\\\n)*.*)$", text, re.MULTILINE)
    own = {"--host", "--port", "--worker-urls"}

    def options(command: str) -> dict[str, str]:
        parts = re.split(r" (?=--)", " ".join(shlex.split(command.replace("=", " ").replace("\\\n", " "))))
        return dict(part.partition(" ")[::2] for part in parts if part.split()[0] not in own)

    assert options(told) == options(services(overlay("router"))["router"]["command"])
