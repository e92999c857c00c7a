"""Where the model server is, for a kernel of any environment: its own variables, else the file that the workspace
server wrote into the Jupyter runtime directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cellar.settings import ENDPOINT_FILE, Endpoint, SettingsError, endpoint_from_env, parse_endpoint

from .words import Spoken


def read_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """Raises Spoken with the name of the variable or file that is wrong."""
    try:
        data = endpoint_file().read_bytes()
    except OSError:
        data = b""
    try:
        return endpoint_from_env(environ, parse_endpoint(data) if data else None)
    except SettingsError as error:
        raise Spoken("bad_settings", message=str(error)) from None


def server_runs_cellar() -> bool:
    """Whether Cellar runs on this machine's Jupyter server, whose front end then has our lab extension."""
    return endpoint_file().is_file()


def endpoint_file() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir()) / ENDPOINT_FILE
