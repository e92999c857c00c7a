"""How kernels learn where the model server is: their environment, and a private file in the Jupyter runtime directory
for kernels whose specification starts them with an environment of their own."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .disk import private_directory, replace_private

if TYPE_CHECKING:
    from .app import Cellar

FILE_NAME = "cellar-endpoint.json"


def publish_endpoint(config: Cellar, log: logging.Logger) -> None:
    """Tell kernels started from now on. A runtime directory that cannot be written is a warning, not the end."""
    from jupyter_core.paths import jupyter_runtime_dir

    os.environ["VLLM_BASE_URL"] = config.base_url
    if config.api_key:
        os.environ["VLLM_API_KEY"] = config.api_key
    endpoint = {
        "base_url": config.base_url,
        "api_key": config.api_key,
        "model": config.model,
        "gateway": config.gateway,
    }
    try:
        directory = private_directory(Path(jupyter_runtime_dir()))
        replace_private(directory / FILE_NAME, [msgspec.json.encode(endpoint)])
    except OSError as error:
        log.warning("Cellar could not write %s for kernels: %s", FILE_NAME, error.strerror)
