"""JupyterHub reads this file; everything is in cellar_hub.configure."""

import os
import sys

from cellar.settings import SettingsError
from cellar_hub.configure import configure
from cellar_hub.settings import HubSettings

try:
    configure(get_config(), HubSettings.from_env(os.environ))  # noqa: F821  # JupyterHub puts it there
except SettingsError as problem:
    sys.exit(f"Cellar Hub does not start: {problem}")
