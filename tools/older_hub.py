"""JupyterHub 5.5 beside 6.1, which is what we ship: Zero to JupyterHub still has it, so the hub's code runs on both.

Its packages lie in a folder of their own in .venv; first on PYTHONPATH, they take the place of JupyterHub 6.1 for
whatever a test imports and for each process that it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SERIES = "5.5"
MISSING = f"JupyterHub {SERIES} is not installed (pip reads PIP_INDEX_URL): nothing ran on the older JupyterHub"
WANTED = (
    *(f"jupyterhub>={SERIES},<6", "dockerspawner>=14,<15", "jupyterhub-nativeauthenticator>=1.3"),
    *("jupyterhub-ldapauthenticator>=2.0.2", "ldap3>=2.9.1", "oauthenticator>=17.4"),
    *("jupyterhub-idle-culler>=2", "httpx", "httpx-aiohttp>=0.2", "psycopg[binary]>=3.2", "msgspec", "h11", "pathspec"),
    "jsonschema<4.25",
)
TESTS = (
    "tests/hub/backup/test_restore.py::test_no_token_of_before_is_worth_anything",
    "tests/hub/commands",
    *(
        f"tests/hub/login/test_{what}.py"
        for what in ("accounts_api", "book", "names", "rights", "sessions", "signup", "watching")
    ),
    *(f"tests/hub/login/test_{what}.py" for what in ("ldap", "oidc", "pam")),
    "tests/hub/login/test_login.py::test_every_way_a_log_in_ends_is_in_the_audit",
    "tests/hub/login/test_login.py::test_a_name_that_no_database_takes_is_a_name_of_nobody",
    "tests/hub/spawner",
    "tests/hub/test_announcements.py",
    "tests/hub/test_configure.py",
    "tests/hub/test_idle.py",
    "tests/hub/test_pages.py",
    "tests/hub/test_reconnecting.py",
    "tests/hub/test_workspace_config.py::test_a_users_own_kernels_are_there_and_their_configuration_is_not",
    "tests/hub/gateway/test_failures.py",
    "tests/hub/gateway/test_identity.py",
    "tests/hub/gateway/test_other_clients.py",
)
"""Those without a browser or Docker in which the hub does something. It is in the gateway's other tests, too, but only
says whose a token is, which test_identity.py asks of it in every way; of floods and restarts at the log-in it says
nothing of its own, either. tests/docker/test_older_hub.py has the rest."""


def folder() -> Path:
    return Path(sys.prefix) / f"jupyterhub-{SERIES}"


def environment() -> dict[str, str]:
    """For a process that shall have JupyterHub 5.5."""
    return {"PYTHONPATH": str(folder())}


def install() -> str:
    """Once. What went wrong, or nothing."""
    done = folder() / "done"
    if not done.is_file() or done.read_text() != repr(WANTED):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder()), *WANTED]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode != 0:
            return f"{MISSING}: {made.stderr[-300:]}"
        done.write_text(repr(WANTED))
    asked = [sys.executable, "-c", "import jupyterhub; print(jupyterhub.__version__)"]
    env = os.environ | environment()
    version = subprocess.run(asked, env=env, capture_output=True, text=True).stdout.strip()
    return "" if version.startswith(f"{SERIES}.") else f"{MISSING}: {folder()} has {version or 'none'}"
