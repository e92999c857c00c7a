"""The browser's container is still there when the last controls are made: `docker` is a script here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cellar_offline.proving.engine import Engine
from cellar_offline.proving.journey import travel

DOCKER = """\
#!/bin/sh
case "$1" in
  ps) echo 0123 ;;
  exec) cat > {folder}/password ;;
  run) read asked; {said}; cat > /dev/null; touch {folder}/gone; exit {status} ;;
esac
"""


def end(step: str, ok: bool) -> str:
    return json.dumps({"step": step, "ok": ok, "seconds": 1, "problem": "" if ok else "stuck", "picture": ""})


@pytest.mark.parametrize("ok", [True, False])
def test_the_browser_stays_until_the_last_controls_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ok: bool
) -> None:
    program = tmp_path / "docker"
    said = f"echo '{end('end' if ok else 'log_in', ok)}'" + ("" if ok else "; exit 1")
    program.write_text(DOCKER.format(folder=tmp_path, said=said, status=0))
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr("cellar_offline.proving.engine.PATH", path)
    there: list[bool] = []
    engine = Engine(tmp_path, lambda pid, container: None)
    steps = travel(
        *(engine, "cellar-prove:dev", "cellar-proof", "/", 0, tmp_path / "pictures"),
        lambda words: None,
        lambda: there.append(not (tmp_path / "gone").exists()),
    )
    assert [(each.step, each.ok) for each in steps] == [("end", True) if ok else ("log_in", False)]
    assert there == ([True] if ok else [])
    assert (tmp_path / "gone").exists() is ok
