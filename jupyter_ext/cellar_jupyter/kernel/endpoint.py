"""What a kernel of any environment learns of the Jupyter around it, by files: where the model server is (its own
variables come first), whether Cellar runs on the server, and the language chosen in JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from cellar.settings import ENDPOINT_FILE, Endpoint, SettingsError, endpoint_from_env, parse_endpoint

from .words import Spoken

_LANGUAGE_SETTINGS = ("@jupyterlab", "translation-extension", "plugin.jupyterlab-settings")
_LOCALE = re.compile(r'^[\s{,]*"locale"\s*:\s*"([^"]*)"', re.MULTILINE)
"""JSON with comments, as JupyterLab writes it: the key stands at the beginning of its line."""


def read_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """Raises Spoken with the name of the variable or file that is wrong."""
    try:
        data = endpoint_file().read_bytes()
    except OSError:
        data = b""
    try:
        return endpoint_from_env(environ, parse_endpoint(data) if data else None)
    except SettingsError as error:
        raise Spoken(f"setting_{error.code}", name=error.name) from None


def server_runs_cellar() -> bool:
    """Whether Cellar runs on this machine's Jupyter server, whose front end then has our lab extension."""
    return endpoint_file().is_file()


def chosen_language(environ: Mapping[str, str]) -> str:
    """The locale chosen in JupyterLab ("ko_KR"), for a kernel that a Jupyter server started; "" without a choice. A
    change counts from the next question on."""
    if not environ.get("JPY_SESSION_NAME"):
        return ""
    from jupyter_core.paths import jupyter_config_dir

    folder = environ.get("JUPYTERLAB_SETTINGS_DIR") or Path(jupyter_config_dir(), "lab", "user-settings")
    try:
        settings = Path(folder, *_LANGUAGE_SETTINGS).read_text("utf-8")
    except (OSError, UnicodeError):
        return ""
    found = _LOCALE.search(settings)
    return found[1] if found and found[1] != "default" else ""


def endpoint_file() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir()) / ENDPOINT_FILE
