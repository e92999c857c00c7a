"""Puts what JupyterLab looks for under share/ and etc/ into the wheel.

The lab extension is built beforehand (`make build`), never during `pip install`: a build that needs Node, a package
registry and minutes has no place on a machine in an air-gapped network. So a wheel is only made when the build is there
and younger than its sources; otherwise the maker is told what to run. An editable install does not need it: `make
build` links the build output to where JupyterLab looks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
OUTPUT = ROOT / "jupyter_ext" / "cellar_jupyter" / "labextension"
SERVER_CONFIG = ROOT / "jupyter_ext" / "etc" / "jupyter_server_config.d"


class JupyterData(BuildHookInterface):  # type: ignore[type-arg]  # its parameter exists only since hatchling 1.32
    """Adds the built lab extension and the server extension's switch to a wheel's data files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        shared: dict[str, str] = build_data.setdefault("shared_data", {})
        for path in sorted(SERVER_CONFIG.glob("*.json")):
            shared[str(path)] = f"etc/jupyter/jupyter_server_config.d/{path.name}"
        if version == "editable":
            return
        if (ROOT / "labextension" / "src").is_dir():
            sys.path.insert(0, str(ROOT))
            from tools.frontend import staleness

            if complaint := staleness():
                raise RuntimeError(f"{complaint} Run `make build`, then build the wheel again.")
        elif not (OUTPUT / "package.json").is_file():
            raise RuntimeError("The lab extension is not built. Run `make build`, then build the wheel again.")
        for path in sorted(p for p in OUTPUT.rglob("*") if p.is_file() and not p.name.startswith(".")):
            shared[str(path)] = f"share/jupyter/labextensions/@cellar/lab/{path.relative_to(OUTPUT).as_posix()}"
