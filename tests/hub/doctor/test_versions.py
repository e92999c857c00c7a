"""Releases that do not belong together are named, with what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
from aiohttp import web
from cellar_hub.doctor import Failed, versions

CELLAR, HUB = version("jupyter-cellar"), version("jupyterhub")


def test_an_image_of_this_release_belongs_here() -> None:
    said = versions.of_image("w:1", {"jupyter-cellar": CELLAR, "jupyterhub": HUB})
    assert said == f"Cellar {CELLAR} and JupyterHub {HUB} as here"


def test_an_image_with_another_release_of_the_same_line_of_jupyterhub_works() -> None:
    other = f"{HUB.split('.')[0]}.999.0"
    said = versions.of_image("w:1", {"jupyter-cellar": CELLAR, "jupyterhub": other})
    assert f"JupyterHub {other} is not the hub's {HUB}, and works" in said


@pytest.mark.parametrize(
    ("inside", "wrong"),
    [
        ({"jupyter-cellar": "0.0.9", "jupyterhub": HUB}, f"it holds Cellar 0.0.9, and the hub is {CELLAR}"),
        ({"jupyter-cellar": CELLAR, "jupyterhub": "4.1.0"}, f"it holds JupyterHub 4.1.0, and the hub is {HUB}"),
        ({"jupyter-cellar": "", "jupyterhub": HUB}, "there is no Cellar in it"),
        ({"jupyter-cellar": CELLAR}, "there is no JupyterHub in it"),
    ],
)
def test_an_image_that_does_not_belong_here_fails_with_what_to_do(inside: dict[str, str], wrong: str) -> None:
    with pytest.raises(Failed, match="make hub builds") as problem:
        versions.of_image("w:1", inside)
    assert str(problem.value).startswith(wrong) and "instead of w:1" in str(problem.value)


def test_a_hub_of_another_release_than_is_installed_here_fails() -> None:
    assert versions.of_hub(HUB) == f"JupyterHub {HUB}"
    with pytest.raises(Failed, match=r"^is JupyterHub 5\.0\.0, and .* start the stack again"):
        versions.of_hub("5.0.0")


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """A server whose /healthz says what the test wants."""
    said: dict[str, str] = {}

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response(said)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/healthz", said
    await runner.cleanup()


async def test_a_gateway_of_another_release_fails_and_an_older_one_that_tells_none(
    gateway: tuple[str, dict[str, str]],
) -> None:
    url, said = gateway
    with pytest.raises(Failed, match=r"^is of an older release, and the hub is Cellar"):
        await asyncio.to_thread(versions.of_service, url)
    said["version"] = "0.0.9"
    with pytest.raises(Failed, match=r"^is Cellar 0\.0\.9, and the hub is Cellar .* start the stack again"):
        await asyncio.to_thread(versions.of_service, url)
    said["version"] = CELLAR
    assert await asyncio.to_thread(versions.of_service, url) == f"answers, Cellar {CELLAR} as here"
    with pytest.raises(Failed, match="answers 404"):
        await asyncio.to_thread(versions.of_service, url + "/nothing")
