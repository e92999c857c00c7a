"""Cellar in Jupyter: the extension points, and nothing heavy at import."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "cellar_jupyter"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    from cellar_jupyter.server.app import load

    load(server_app)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "@cellar/lab"}]


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext cellar_jupyter`."""
    from cellar_jupyter.kernel import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    from cellar_jupyter.kernel import unload_ipython_extension as unload

    unload(ipython)
