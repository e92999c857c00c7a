"""What every test shares: a clean environment. Fixtures of one room stand in that room's own conftest.py."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

import certifi
import pytest

pytest_plugins = [
    "tests.browser",  # browser
    "tests.fakes.fixtures",  # model, gated_model, slow_model, silent_model, broken_model
]

# Variables of the machine the tests run on that would change what Cellar does: endpoints, keys, language, proxies.
FOREIGN = ("CELLAR_", "VLLM_", "JUPYTERHUB_", "JUPYTER_", "JPY_", "OPENAI_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

# httpx gives each client its own certificates, and one request its own client. Read from a file that is 50 ms, which
# was a third of all that the tests of the hub did; in a folder only those are read that are asked for.
if os.path.isdir(folder := ssl.get_default_verify_paths().openssl_capath):
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = folder


@pytest.fixture(scope="session", autouse=True)
def few_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same for clients that read nothing of the environment: here they ask nobody by certifi's authorities."""
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    bundle = tmp_path_factory.mktemp("certificates") / "one.pem"
    bundle.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: str(bundle))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the endpoint, key or proxy of the person who runs it, and every test speaks English."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.upper() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, who may take longest begins first: at the end nobody waits for one file alone."""
    if hasattr(config, "workerinput"):
        items.sort(key=_patience, reverse=True)


def _patience(item: pytest.Item) -> float:
    """Seconds that a test may take, where it says so."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None and mark.args else 0.0
