"""`site`: hub, proxy, gateway and console, one for a module; its policy file may be edited by pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.console.site import ConsoleSite
from tests.hub.jupyter import proxy_command


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    if not proxy_command():
        pytest.skip("configurable-http-proxy is missing, and there is no npm to install it")
    found = ConsoleSite(tmp_path_factory.mktemp("console"))
    yield found
    found.end()
