"""An https model server is believed only with the certificate authority that is configured for it."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cellar.client import NO_RETRIES, ModelClient, make_http
from cellar.errors import ModelServerDown

from tests.core.conftest import everything
from tests.fakes.vllm import FakeVLLM

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")


@pytest.fixture(scope="module")
def a_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=site", "-addext", "subjectAltName=IP:127.0.0.1"]
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*request, *subject, "-days", "2", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def an_https_model(a_certificate: tuple[Path, Path]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*a_certificate)
    fake = FakeVLLM()
    fake.start(tls=context)
    yield fake.url.replace("http:", "https:")
    fake.stop()


async def test_the_configured_authority_is_believed(an_https_model: str, a_certificate: tuple[Path, Path]) -> None:
    client = ModelClient(make_http(an_https_model, ca_bundle=str(a_certificate[0])), an_https_model)
    assert len(await everything(client)) > 1
    await client.aclose()


async def test_an_unknown_authority_is_refused_with_the_setting_that_helps(an_https_model: str) -> None:
    client = ModelClient(make_http(an_https_model), an_https_model, retries=NO_RETRIES)
    with pytest.raises(ModelServerDown, match="certificate") as refused:
        await everything(client)
    assert "CELLAR_CA_BUNDLE" in refused.value.hint
    await client.aclose()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"ca_bundle": "/no/such/file.pem"}, "CELLAR_CA_BUNDLE"),
        ({"ca_bundle": __file__}, "CELLAR_CA_BUNDLE"),
        ({"proxy": "localhost:3128"}, "CELLAR_PROXY"),
        ({"proxy": "socks5://127.0.0.1:1080"}, "CELLAR_PROXY"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ModelServerDown) as refused:
        make_http("https://127.0.0.1:1/v1", **settings)
    assert name in refused.value.hint
