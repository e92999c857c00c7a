"""Real Docker. Where there is none, these tests are skipped with the reason; with CI=true that is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest

from tests.docker import engine


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def client() -> Iterator[docker.APIClient]:
    found, reason = engine.connect()
    if found is None:
        _missing(reason)
    assert found is not None
    yield found
    found.close()


@pytest.fixture(scope="session")
def base(client: docker.APIClient) -> str:
    try:
        return engine.find_base(client)
    except LookupError as error:
        _missing(str(error))
        raise


@pytest.fixture(scope="session")
def workspace_image(client: docker.APIClient, base: str) -> str:
    """Its tag."""
    engine.build_workspace(client, base)
    return engine.WORKSPACE_IMAGE


@pytest.fixture
def site(client: docker.APIClient, base: str) -> Iterator[engine.Site]:
    made = engine.Site(client, base)
    yield made
    made.close()
