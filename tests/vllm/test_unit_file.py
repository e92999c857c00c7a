"""The systemd unit and its settings."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from cellar_vllm.program import parser

FOLDER = Path(__file__).resolve().parents[2] / "hub_config" / "vllm"
UNIT = FOLDER / "cellar-vllm.service"


@pytest.fixture
def settings() -> dict[str, str]:
    lines = (FOLDER / "cellar-vllm.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (apt-get install systemd)"
)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "cellar-vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/cellar-vllm/bin/cellar-vllm", str(program)))
    command = ["systemd-analyze", "verify", "--recursive-errors=yes", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"})
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_its_example_is_a_command_that_cellar_vllm_understands(settings: dict[str, str]) -> None:
    options = parser().parse_args(["serve", *shlex.split(settings["CELLAR_VLLM"])])
    assert (options.preset, options.host, options.port) == ("24gb", "10.0.0.5", 8001)


def test_it_lets_an_answer_end_before_it_is_killed_and_starts_again_whatever_ended_it_but_a_refusal() -> None:
    lines = UNIT.read_text().splitlines()
    for line in ("TimeoutStopSec=90", "KillMode=mixed", "Restart=always", "RestartPreventExitStatus=2"):
        assert line in lines
