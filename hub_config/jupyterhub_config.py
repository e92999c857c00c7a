"""JupyterHub reads this file; everything is in cellar_hub.configure."""

import os

from cellar_hub.configure import configure
from cellar_hub.settings import HubSettings

configure(get_config(), HubSettings.from_env(os.environ))  # noqa: F821  # JupyterHub puts it there
