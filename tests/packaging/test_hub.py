"""`make hub` says plainly what is missing, keeps secrets to itself, and changes nothing that somebody set."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SECRETS = (
    *("CONFIGPROXY_AUTH_TOKEN", "CELLAR_GATEWAY_TOKEN", "CELLAR_COMMANDS_TOKEN", "CELLAR_CONSOLE_TOKEN"),
    "CELLAR_FORWARDER_TOKEN",
    *("POSTGRES_PASSWORD", "POSTGRES_HUB_PASSWORD"),
)
WRITE = "from tools import hub; hub.write_env()"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what `make hub` reads before it builds anything, so that the project's own .env is left alone."""
    for folder in ("tools", "hub_config/compose"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns(".env", "admin-password"))
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def hub(copy: Path, *words: str, path: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    whole = os.environ | {"PATH": path or os.environ["PATH"], "PYTHONPATH": str(copy)} | env
    return subprocess.run([sys.executable, *words], cwd=copy, env=whole, capture_output=True, text=True, timeout=50)


@pytest.fixture
def engine(copy: Path) -> socket.socket:
    """A unix socket where the engine's would be; nobody answers there."""
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(copy / "d.sock"))
    return found


def test_no_docker_is_said(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = hub(copy, "-m", "tools.hub", path=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "there is no `docker` here" in done.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Got permission denied while trying to connect to the Docker daemon socket", "usermod -aG docker"),
        ("Cannot connect to the Docker daemon. Is the docker daemon running?", "systemctl start docker"),
    ],
)
def test_an_engine_that_does_not_answer_is_said_with_what_helps(said: str, told: str, copy: Path) -> None:
    (copy / "bin").mkdir()
    program(copy / "bin", "docker", f"echo '{said}' >&2; exit 1")
    done = hub(copy, "-m", "tools.hub", path=f"{copy / 'bin'}:/usr/bin:/bin")
    assert (done.returncode, told in done.stderr) == (1, True)


def test_a_missing_compose_is_said(copy: Path, engine: socket.socket) -> None:
    (copy / "bin").mkdir()
    program(copy / "bin", "docker", 'if [ "$1" = compose ]; then exit 1; fi; echo 28.0')
    done = hub(copy, "-m", "tools.hub", path=str(copy / "bin"), DOCKER_SOCKET=str(copy / "d.sock"))
    engine.close()
    assert done.returncode == 1
    assert "Docker Compose is not" in done.stderr


def test_a_port_that_is_taken_is_said(copy: Path, engine: socket.socket) -> None:
    (copy / "bin").mkdir()
    program(copy / "bin", "docker", 'if [ "$1" = ps ]; then exit 0; fi; echo 28.0')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = hub(copy, "-m", "tools.hub", path=str(copy / "bin"), DOCKER_SOCKET=str(copy / "d.sock"), PORT=port)
    engine.close()
    assert done.returncode == 1
    assert f"Port {port} is in use" in done.stderr


def with_lines(copy: Path, *lines: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`make hub` on a machine with Docker and with these lines in .env."""
    (copy / "bin").mkdir()
    program(copy / "bin", "docker", 'if [ "$1" = ps ]; then exit 0; fi; echo 28.0')
    env = copy / "hub_config" / "compose" / ".env"
    env.write_text("".join(f"{line}\n" for line in lines))
    return hub(copy, "-m", "tools.hub", path=str(copy / "bin"), DOCKER_SOCKET=str(copy / "d.sock"), **more)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("CELLAR_ADMIN=kim", "CELLAR_ADMIN: do you mean CELLAR_ADMINS?"),
        ("CELLAR_TIMEZONE=Asia/Seoul", "CELLAR_TIMEZONE: do you mean CELLAR_TIME_ZONE?"),
        ("VLLM_BASEURL=http://gpu1/v1", "VLLM_BASEURL: do you mean VLLM_BASE_URL?"),
        ("CELLAR_NONSENSE=yes", "CELLAR_NONSENSE: there is no such setting."),
        ("CELLAR_DATA=/data/cellar", "CELLAR_DATA: the compose files set it themselves; take the line away."),
        ("VLLM_LARGE_KEY=key-0123456789", "A key that CELLAR_MODELS names belongs into gateway.env."),
    ],
)
def test_a_setting_that_nothing_reads_is_refused_with_what_it_may_mean(
    line: str, told: str, copy: Path, engine: socket.socket
) -> None:
    done = with_lines(copy, "CELLAR_SITE=lab", line)
    engine.close()
    assert done.returncode == 1
    assert "hub_config/compose/.env sets what nothing reads" in done.stderr and told in done.stderr
    assert line.partition("=")[2] not in done.stderr


def test_what_an_overlay_of_ones_own_reads_is_a_setting(copy: Path, engine: socket.socket) -> None:
    own = copy / "hub_config" / "compose" / "docker-compose.own.yml"
    own.write_text("services: { proxy: { environment: { X: '${CELLAR_OWN_COLOUR:-}' } } }\n")
    with socket.socket() as taken:  # so that it ends before it builds anything
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        lines = (f"CELLAR_PORT={taken.getsockname()[1]}", "CELLAR_OWN_COLOUR=red", "SOMEBODY_ELSES=1")
        done = with_lines(copy, *lines, OVERLAYS="own")
    engine.close()
    assert "is in use on this machine" in done.stderr, done.stderr


def test_a_password_that_an_address_cannot_hold_is_refused_by_its_name(copy: Path, engine: socket.socket) -> None:
    done = with_lines(copy, "POSTGRES_HUB_PASSWORD=p@ss/word", OVERLAYS="postgres")
    engine.close()
    assert done.returncode == 1
    assert "POSTGRES_HUB_PASSWORD in hub_config/compose/.env must be letters and digits" in done.stderr
    assert "p@ss" not in done.stderr


def test_a_port_for_https_that_is_taken_is_said(copy: Path, engine: socket.socket) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = with_lines(copy, "CELLAR_PORT=1", f"CELLAR_TLS_PORT={port}", OVERLAYS="tls")
    engine.close()
    assert done.returncode == 1
    assert f"Port {port} is in use on this machine. Choose another: CELLAR_TLS_PORT in" in done.stderr


def test_hub_down_says_that_users_files_stay_and_removes_no_volume(copy: Path, engine: socket.socket) -> None:
    (copy / "bin").mkdir()
    nothing_there = f'echo "$*" >>{copy}/asked; case "$1" in ps | network) exit 0 ;; esac; echo 28.0'
    program(copy / "bin", "docker", nothing_there)
    env = {"path": str(copy / "bin"), "DOCKER_SOCKET": str(copy / "d.sock")}
    none = hub(copy, "-m", "tools.hub", "down", **env)
    assert none.returncode == 1 and "no hub was started from here" in none.stderr
    assert hub(copy, "-c", WRITE, **env).returncode == 0
    done = hub(copy, "-m", "tools.hub", "down", **env)
    engine.close()
    assert done.returncode == 0
    assert "Users' files are in their volumes; `make hub` starts it again." in done.stdout
    asked = (copy / "asked").read_text()
    assert "down --remove-orphans" in asked and not {"-v", "--volumes", "volume"} & set(asked.split())


def test_an_overlay_that_is_none_is_said(copy: Path, engine: socket.socket) -> None:
    (copy / "bin").mkdir()
    program(copy / "bin", "docker", "echo 28.0")
    env = {"DOCKER_SOCKET": str(copy / "d.sock"), "OVERLAYS": "oracle"}
    done = hub(copy, "-m", "tools.hub", path=str(copy / "bin"), **env)
    engine.close()
    assert done.returncode == 1
    assert "docker-compose.oracle.yml" in done.stderr


def test_secrets_are_made_once_for_the_owner_alone_and_what_was_set_stays(copy: Path, engine: socket.socket) -> None:
    env = copy / "hub_config" / "compose" / ".env"
    assert hub(copy, "-c", WRITE, DOCKER_SOCKET=str(copy / "d.sock")).returncode == 0
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    first = values(env)
    assert all(len(first[name]) == 64 for name in SECRETS)
    assert first["DOCKER_GID"] == str((copy / "d.sock").stat().st_gid)
    env.write_text(env.read_text().replace("#CELLAR_PORT=8000", "CELLAR_PORT=9000").replace(first[SECRETS[0]], ""))
    assert hub(copy, "-c", WRITE, DOCKER_SOCKET=str(copy / "d.sock")).returncode == 0
    engine.close()
    second = values(env)
    assert second["CELLAR_PORT"] == "9000"
    assert second[SECRETS[1]] == first[SECRETS[1]]
    assert len(second[SECRETS[0]]) == 64 and second[SECRETS[0]] != first[SECRETS[0]]
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_an_older_env_gets_the_secrets_it_lacks(copy: Path, engine: socket.socket) -> None:
    env = copy / "hub_config" / "compose" / ".env"
    env.write_text("CELLAR_SITE=lab\n")
    assert hub(copy, "-c", WRITE, DOCKER_SOCKET=str(copy / "d.sock")).returncode == 0
    engine.close()
    assert set(values(env)) == {"CELLAR_SITE", "DOCKER_GID", *SECRETS}


def values(env: Path) -> dict[str, str]:
    lines = [line for line in env.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_a_gateway_that_does_not_start_is_said_with_its_last_words(copy: Path) -> None:
    (copy / "bin").mkdir()
    said = "names in row 1 ('large') the variable LARGE_KEY, which is not set"
    answers = {"*RestartCount*": "echo 3", "*Health*": "echo starting", "*logs*": f'echo "{said}"', "*": "echo 0123"}
    cases = " ".join(f"{pattern}) {answer};;" for pattern, answer in answers.items())
    program(copy / "bin", "docker", f'case "$*" in {cases} esac')
    wait = "from tools import hub; hub.wait_until_well(hub.Stack({}), 'gateway')"
    done = hub(copy, "-c", wait, path=f"{copy / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 1
    assert "The gateway service does not start" in done.stderr and said in done.stderr


@pytest.mark.parametrize(
    ("restarts", "health", "says"),
    [
        ("4", "starting", "vllm ends and starts again and again. It says why: cellar-vllm: /models/m is not a folder."),
        (
            "0",
            "starting",
            "vllm reads its weights, which takes minutes: until then users are told that it does not answer",
        ),
        ("0", "healthy", ""),
    ],
)
def test_a_model_server_that_is_not_there_yet_or_never_will_be_is_said_at_the_end(
    restarts: str, health: str, says: str, copy: Path
) -> None:
    (copy / "bin").mkdir()
    log = "printf 'vLLM 0.33\\ncellar-vllm: /models/m is not a folder.\\n'"
    answers = {"*RestartCount*": f"echo {restarts}", "*Health*": f"echo {health}", "*logs*": log, "*": "echo 0123"}
    cases = " ".join(f"{pattern}) {answer};;" for pattern, answer in answers.items())
    program(copy / "bin", "docker", f'case "$*" in {cases} esac')
    tell = "from tools import hub; hub.tell_of_models(hub.Stack({}), ['vllm'])"
    done = hub(copy, "-c", tell, path=f"{copy / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert says in done.stdout and bool(says) == bool(done.stdout)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("key    # openssl rand", "key"),
        ("a#b", "a#b"),
        ("'a # b' # c", "a # b"),
        ('"x"', "x"),
        ("# nothing", ""),
        ("", ""),
    ],
)
def test_a_line_of_the_settings_is_read_as_compose_reads_it(written: str, read: str, copy: Path) -> None:
    (copy / ".env").write_text(f"VLLM_API_KEY={written}\n")
    done = hub(copy, "-c", "from pathlib import Path; from tools.hub import read_env; print(read_env(Path('.env')))")
    assert done.stdout.strip() == str({"VLLM_API_KEY": read}), done.stderr


@pytest.mark.parametrize(("knows", "image"), [("exit 0", "sha256:old"), ("exit 1", "cellar-hub:dev")])
def test_a_release_without_backups_is_backed_up_by_the_image_that_follows_it(
    knows: str, image: str, copy: Path
) -> None:
    (copy / "bin").mkdir()
    answers = {
        "ps?-a?*": "echo hub 0123",
        "inspect*Image*": "echo sha256:old",
        "*python?-c*": knows,
        "*cellar_hub.backup?plan*": f'echo "$*" >{copy}/planned; exit 1',
    }
    cases = " ".join(f"{pattern}) {answer};;" for pattern, answer in answers.items())
    program(copy / "bin", "docker", f'case "$*" in {cases} esac')
    command = ["sh", str(copy / "hub_config/compose/cellar-hub"), "backup", "--to", str(copy / "site.tar")]
    done = subprocess.run(command, env={"PATH": f"{copy / 'bin'}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.returncode == 1 and not (copy / "site.tar").exists(), done.stderr
    assert f"{image} python -m cellar_hub.backup plan" in (copy / "planned").read_text()


def test_git_ignores_what_holds_secrets() -> None:
    names = [f"hub_config/compose/{name}" for name in (".env", "admin-password", "gateway.env", "tls/tls.key")]
    done = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == names
