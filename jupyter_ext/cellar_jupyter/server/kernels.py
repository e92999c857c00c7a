"""How kernels learn where the model server is: their environment, and a private file in the Jupyter runtime directory
for kernels whose specification starts them with an environment of their own."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from cellar.settings import ENDPOINT_FILE, KEY_FOR, Endpoint, endpoint_to_json, key_for

from .disk import private_directory, replace_private


def publish_endpoint(endpoint: Endpoint, log: logging.Logger) -> None:
    """Tell kernels started from now on. A runtime directory that cannot be written is a warning, not the end."""
    from jupyter_core.paths import jupyter_runtime_dir

    os.environ["VLLM_BASE_URL"] = endpoint.base_url
    if endpoint.api_key:
        os.environ["VLLM_API_KEY"] = endpoint.api_key
        os.environ[KEY_FOR] = key_for(endpoint)
    try:
        directory = private_directory(Path(jupyter_runtime_dir()))
        replace_private(directory / ENDPOINT_FILE, [endpoint_to_json(endpoint)], durable=False)
    except OSError as error:
        log.warning("Cellar could not write %s for kernels: %s", ENDPOINT_FILE, error.strerror)
