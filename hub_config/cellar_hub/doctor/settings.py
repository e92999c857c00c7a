"""What the doctor is told in the proxy's place. The other places have settings of their own service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..settings import REQUIRED, read_settings, setting
from ..values import parse_base_path, parse_origin, parse_parent_origin


@dataclass(frozen=True, kw_only=True)
class ProxySettings:
    """What `cellar-hub check` is told in the proxy's place; the proxy itself is configurable-http-proxy."""

    url: str = setting("CELLAR_PROXY_URL", REQUIRED, parse_origin, "the proxy, from where it runs")
    tls_url: str = setting("CELLAR_TLS_URL", "", parse_origin, "nginx before it; docker-compose.tls.yml sets it")
    base_path: str = setting("CELLAR_BASE_PATH", "/", parse_base_path, "path under which the hub lives")
    public_url: str = setting("CELLAR_PUBLIC_URL", "", parse_origin, "address that browsers use")
    subdomain_host: str = setting(
        "CELLAR_SUBDOMAIN_HOST", "", parse_parent_origin, "the origin below which workspaces have theirs"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ProxySettings:
        """Raises `SettingsError`."""
        return read_settings(cls, env)
