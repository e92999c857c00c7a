"""What is believed of a provider's word about itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cellar.settings import SettingsError
from cellar_hub.login.discovery import Distrusted, Endpoints, check_ca, is_safe, parse_discovery

ISSUER = "https://id.example.org/realms/house"
SAYS = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://login.example.org/auth?tenant=house",
    "token_endpoint": "https://id.example.org/token",
    "userinfo_endpoint": "https://id.example.org/me",
    "jwks_uri": "https://id.example.org/keys",
}


def parse(**changed: object) -> Endpoints:
    return parse_discovery(json.dumps(SAYS | changed).encode(), ISSUER)


def test_its_addresses_are_taken_letter_for_letter() -> None:
    assert parse() == Endpoints(
        "https://login.example.org/auth?tenant=house", "https://id.example.org/token", "https://id.example.org/me"
    )


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "/",
        ISSUER.upper(),
        "https://id.example.org/realms/House",
        "http://id.example.org/realms/house",
        "",
        None,
    ],
)
def test_whoever_calls_itself_by_another_name_is_not_believed(issuer: object) -> None:
    with pytest.raises(Distrusted):
        parse(issuer=issuer)


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint", "userinfo_endpoint"])
@pytest.mark.parametrize(
    "address",
    [
        *("http://id.example.org/token", "http://127.0.0.1.example.org/", "ftp://id.example.org/", "//id.example.org/"),
        *("https://", "https://user@id.example.org/", "https://id.example.org/#x", "https://id.example.org\\@evil/"),
        *(
            "https://id.example.org:x/",
            "https://id.example.org/ x",
            "https://ıd.example.org/",
            "javascript:x",
            "",
            None,
            5,
        ),
    ],
    ids=str,
)
def test_an_address_where_others_could_listen_is_not_believed(endpoint: str, address: object) -> None:
    with pytest.raises(Distrusted):
        parse(**{endpoint: address})


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"<html>", b'{"issuer": "\xff"}'])
def test_what_is_no_description_is_not_believed(content: bytes) -> None:
    with pytest.raises(Distrusted):
        parse_discovery(content, ISSUER)


def test_this_machine_needs_no_tls() -> None:
    assert all(is_safe(f"http://{host}:5000/x") for host in ("127.0.0.1", "127.1.2.3", "[::1]", "localhost"))
    assert not any(is_safe(f"http://{host}/") for host in ("10.0.0.1", "localhost.example.org", "[::2]", "127.1"))


def test_a_file_without_certificates_is_none(tmp_path: Path) -> None:
    check_ca(None, "CELLAR_OIDC_CA")
    file = tmp_path / "ca.pem"
    for content in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x30\x82\xff"):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match="CELLAR_OIDC_CA has no certificate in PEM"):
            check_ca(file, "CELLAR_OIDC_CA")
    for other in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SettingsError, match="CELLAR_OIDC_CA is no file"):
            check_ca(other, "CELLAR_OIDC_CA")
