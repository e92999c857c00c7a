"""A user's workspace: a sealed container on a network of its own, with a volume that outlives it.

A small subclass of DockerSpawner 14. What Docker is asked for is decided in `creation`, `profiles` and `networks`; here
stands the order of things, and what happens when one of them fails. Works with JupyterHub 5.5 and 6.1.

Design notes. The container is not removed by Docker (`auto_remove`), but by us after its log was read: a start that
failed is explained on the page. Everything else goes at each stop, so a start never meets yesterday's limits, image or
token. Of a request's options only the profile's name counts, and only that is kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
from cellar.settings import SettingsError
from docker.errors import APIError, DockerException, NotFound
from dockerspawner import DockerSpawner
from requests.exceptions import RequestException
from sqlalchemy.orm import object_session
from tornado.httpclient import AsyncHTTPClient, HTTPError
from traitlets import Any as AnyTrait
from traitlets import default

from cellar_hub.policyfile import PolicyFile
from cellar_hub.resolver import near_url
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.creation import PORT, Creation, environment
from cellar_hub.spawner.forwarding import Forwarding
from cellar_hub.spawner.homes import Homes
from cellar_hub.spawner.names import GPUS, KIND, OWNER, SITE, WORKSPACE, Names, is_ours
from cellar_hub.spawner.networks import Networks, PoolExhausted
from cellar_hub.spawner.probe import untried
from cellar_hub.spawner.profiles import (
    NotOffered,
    Profile,
    choose,
    offered,
    options_form,
    options_from_form,
    share_gpus,
    watched_profiles,
)
from cellar_hub.spawner.refusals import StartRefused

T = TypeVar("T")
THREADS = 8
"""Calls to Docker at once: DockerSpawner's one thread lets a slow call of one user hold up everybody."""
PATIENCE = 60.0
"""Seconds for which a Docker that does not answer is asked again, before a running workspace is called lost."""
POLL = 0.2  # seconds
LOOKS = 6  # for the log of a container that has ended


class SiteFiles:
    """What an administrator may change while the hub runs."""

    def __init__(self, settings: HubSettings) -> None:
        self.settings = settings
        self.policy = PolicyFile(settings.policy)
        self.profiles = watched_profiles(settings)


class CellarSpawner(DockerSpawner):
    """See the module."""

    hub_settings: Any = AnyTrait(help="The HubSettings of this installation").tag(config=True)
    user_options: dict[str, Any]

    _executor: ThreadPoolExecutor | None = None
    _client: docker.APIClient | None = None
    _files: SiteFiles | None = None
    _gpu_lock = asyncio.Lock()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._steps: list[tuple[int, str]] = []
        self._stepped = asyncio.Event()
        self._is_attached = False
        self._has_started = False

    # --- what DockerSpawner asks a subclass

    @property
    def executor(self) -> ThreadPoolExecutor:
        if CellarSpawner._executor is None:
            CellarSpawner._executor = ThreadPoolExecutor(THREADS, "docker")
        return CellarSpawner._executor

    @property
    def client(self) -> docker.APIClient:
        if CellarSpawner._client is None:
            CellarSpawner._client = docker.APIClient(self.hub_settings.docker, version="auto", timeout=60)
        return CellarSpawner._client

    @property
    def names(self) -> Names:
        return Names(self.hub_settings.site, self.user.name, self.name)

    @default("object_name")
    def _object_name_default(self) -> str:
        return self.names.own

    @property
    def networks(self) -> Networks:
        return Networks(self.client, self.hub_settings.site, self.hub_settings.pool)

    @property
    def forwarding(self) -> Forwarding:
        settings: HubSettings = self.hub_settings
        return Forwarding(self.client, self.networks, self.files.policy, settings.forwarders, settings.leases)

    @classmethod
    def watch(cls, settings: HubSettings) -> SiteFiles:
        """The site's files, read from now on; raises SettingsError when one is broken now. Of one installation."""
        if CellarSpawner._files is None or CellarSpawner._files.settings != settings:
            CellarSpawner._files = SiteFiles(settings)
        return CellarSpawner._files

    @property
    def files(self) -> SiteFiles:
        return self.watch(self.hub_settings)

    async def _thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.executor, work, *args)

    # --- what a user may choose

    def _choices(self) -> tuple[Profile, ...]:
        groups = [group.name for group in self.user.groups]
        allowed = self.files.policy.current().for_(self.user.name, groups)
        return offered(self.files.profiles(), groups, allowed)

    @default("options_form")
    def _options_form_default(self) -> Callable[[CellarSpawner], str]:
        return lambda spawner: options_form(spawner._choices())

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Callable[..., None]:
        return lambda spawner, options: None  # `start` chooses, and refuses what is not offered

    @default("options_from_form")
    def _options_from_form_default(self) -> Callable[..., dict[str, str]]:
        return options_from_form

    # --- start

    async def start(self) -> tuple[str, int]:
        """Address and port. Raises StartRefused, with words for the user, whatever went wrong."""
        self._steps.clear()
        self._has_started = False
        try:
            async with asyncio.timeout(max(5, self.start_timeout - 5)):
                found = await self._start()
            self._has_started = self._is_attached = True
            return found
        except NotOffered as error:
            self._keep_options({})  # a choice that is not open any more must not be made again by itself
            raise StartRefused(str(error), status=403) from None
        except (PoolExhausted, SettingsError) as error:
            self.log.error("%s does not start: %s", self._log_name, error)
            raise StartRefused("The hub cannot start workspaces now. Please tell your administrator.") from None
        except TimeoutError:
            log = await self._log()
            raise StartRefused(f"Your workspace did not answer within {self.start_timeout} seconds.", log) from None
        except APIError as error:
            self.log.error("%s: Docker said %s %s", self._log_name, error.status_code, str(error.explanation)[:500])
            raise StartRefused("Docker could not start your workspace.", str(error.explanation).encode()) from None
        except (DockerException, RequestException) as error:
            self.log.error("%s: Docker does not answer: %s", self._log_name, error)
            raise StartRefused("Docker does not answer. Please try again in a minute.") from None

    async def _start(self) -> tuple[str, int]:
        settings: HubSettings = self.hub_settings
        names = self.names
        self._step(5, "Choosing image and size")
        profile = choose(self._choices(), self.user_options)
        self._keep_options({"profile": profile.name} if "profile" in self.user_options else {})
        self.mem_limit, self.cpu_limit = profile.memory, profile.cpus
        label = settings.images[profile.image]
        image = await self._image(label)
        if untried(settings).exists():  # the image came after the hub's start
            self.log.error("%s does not start: run `cellar-hub check` first, or restart the hub", self._log_name)
            raise StartRefused(
                "Nobody has tried yet whether workspaces are kept apart here. Please tell your administrator to run"
                " `cellar-hub check`, or to restart the hub."
            )
        self._step(15, "Preparing your files")
        await self._remove_container()
        await self._make_volume()
        self._step(30, "Making a private network")
        await self._thread(self.networks.make, names)
        await self._open_destinations()
        self._step(50, f"Creating your workspace ({profile.size})")
        async with self._gpu_lock:
            gpus = share_gpus(profile, await self._gpus_in_use()) if profile.gpus_each else ()
            creation = Creation(
                names=names,
                profile=profile,
                image=image["Id"],
                command=(self.cmd or image["Config"]["Cmd"] or []) + self.get_args(),
                environment=environment(self.get_env(), self.api_token, settings),
                gpus=gpus,
            )
            host = self.client.create_host_config(**creation.host(settings))
            made = await self.docker("create_container", host_config=host, **creation.container(settings))
        self.object_id = made["Id"]
        self._step(65, "Starting it")
        await self.docker("start", self.object_id)
        return await self._answering()

    async def _open_destinations(self) -> None:
        """Nothing that keeps a workspace from starting: what failed here is done again by the keeper."""
        groups = [group.name for group in self.user.groups]
        try:
            _, without = self.forwarding.shares(self.user.name, groups)
            if without:
                left = ", ".join(each.key for each in without)
                self.log.warning("%s cannot reach %s: there are too few forwarders", self._log_name, left)
                self._step(40, f"Not reachable from your workspace for now: {left}. Please tell your administrator.")
            await self._thread(self.forwarding.prepare, self.names.own, self.user.name, groups)
        except (APIError, OSError, SettingsError) as error:
            self.log.warning("%s has no destinations yet: %s", self._log_name, str(error)[:300])

    def _keep_options(self, options: dict[str, Any]) -> None:
        """What the hub offers again next time, instead of whatever was sent. Committed at once: at the next `await`
        another request may end and roll the session back."""
        self.user_options = self.orm_spawner.user_options = options
        session = object_session(self.orm_spawner)
        if session is not None:
            session.commit()

    async def _image(self, label: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = await self.docker("inspect_image", label)
        except NotFound:
            self.log.error("%s: the image %s is not on this machine", self._log_name, label)
            raise StartRefused(
                f"The image {label} is not on this machine. Please tell your administrator: it has to be loaded."
            ) from None
        self.image = label
        return found

    async def _make_volume(self) -> None:
        """The user's volume. Docker gives a new one the owner and content of the image's directory at its first use, so
        that nobody has to be root in between. Raises StartRefused for one that is somebody else's."""
        own, name = self.names.own, self.user.name
        homes = Homes(self.db, self.hub_settings)
        try:
            found = await self.docker("inspect_volume", own)
        except NotFound:
            labels = self.names.labels() | {OWNER: homes.person(name)}
            found = await self.docker("create_volume", own, labels=labels)
        if not homes.may_have(name, (found.get("Labels") or {}).get(OWNER, "")):
            self.log.error("%s does not start: its files are an earlier user's (docs/login.md)", self._log_name)
            raise StartRefused(
                "There are files of an earlier user of your name. Please tell your administrator, who says whether they"
                " are yours.",
                status=403,
            )

    async def _gpus_in_use(self) -> list[str]:
        labels = [f"{SITE}={self.hub_settings.site}", f"{KIND}={WORKSPACE}", GPUS]
        found = await self.docker("containers", all=True, filters={"label": labels})
        using = [each for each in found if each["State"] not in ("exited", "dead")]  # also one that is just created
        return [gpu for each in using for gpu in each["Labels"][GPUS].split(",")]

    async def _answering(self) -> tuple[str, int]:
        """Wait until the server listens; a container that ended is not waited for."""
        self._step(75, "Waiting for JupyterLab")
        address = ""
        while True:
            found = await self._inspect()
            state = found["State"] if found else {"Running": False, "ExitCode": -1}
            if not state["Running"]:
                why = " It needed more memory than it may have." if state.get("OOMKilled") else ""
                message = f"Your workspace ended while it started (exit code {state['ExitCode']}).{why}"
                raise StartRefused(message, await self._log())
            if found:
                address = address or found["NetworkSettings"]["Networks"][self.names.own]["IPAddress"]
            if address and await _listens(address, PORT):
                self._step(95, "Almost ready")
                return address, PORT
            await asyncio.sleep(POLL)

    async def _log(self) -> bytes:
        """The end of the container's log; nothing when there is none. Docker may say of a container that it has ended
        before it has written down what it said."""
        found = b""
        try:
            for _ in range(LOOKS):
                found = await self.docker("logs", self.object_id or self.names.own, tail=200)
                if found:
                    break
                await asyncio.sleep(POLL)
        except (DockerException, RequestException):
            pass
        return found

    def _step(self, percent: int, text: str) -> None:
        self._steps.append((percent, text))
        self._stepped.set()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """The steps so far, then each as it comes, for every page that looks."""
        shown = 0
        while True:
            while shown < len(self._steps):
                percent, text = self._steps[shown]
                shown += 1
                yield {"progress": percent, "message": text}
            self._stepped.clear()
            try:
                await asyncio.wait_for(self._stepped.wait(), 1)
            except TimeoutError:
                pass  # two pages may wait for one event: look again

    # --- running

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._has_started = bool(self.object_id)

    async def _inspect(self, patience: float = 0.0) -> dict[str, Any] | None:
        """The container as it is, None when there is none. While Docker does not answer it is asked again for
        `patience` seconds; then the error is raised."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            try:
                found: dict[str, Any] = await self.docker("inspect_container", self.object_name)
            except NotFound:
                return None
            except (DockerException, RequestException) as error:
                if loop.time() >= until or (isinstance(error, APIError) and error.is_client_error()):
                    raise
                await asyncio.sleep(1)
                continue
            return found if is_ours(found["Config"]["Labels"], self.hub_settings.site) else None

    async def get_object(self) -> dict[str, Any] | None:
        # who waits for a start wants an answer; a workspace that runs must not be called lost because of a short pause
        found = await self._inspect(PATIENCE if self._has_started else 0.0)
        self.object_id = found["Id"] if found else ""
        return found

    async def poll(self) -> int | None:
        """None while it runs, else its exit status. The first time after the hub's start, hub, proxy and gateway are
        attached again to its network: they may be other containers than when it was started."""
        found = await self.get_object()
        if found is None:
            return 0
        if not found["State"]["Running"]:
            return int(found["State"]["ExitCode"])
        if not self._is_attached:
            await self._thread(self.networks.attach, self.object_name)
            self._is_attached = True
        return None

    # --- stop

    async def stop(self, now: bool = False) -> None:
        if self.object_id:
            await self.stop_object()
        await self._remove_container()
        self.clear_state()

    async def _remove_container(self) -> None:
        """The container of this name, if it is ours."""
        found = await self._inspect()
        if found is not None:
            try:
                await self.docker("remove_container", found["Id"], force=True, v=True)
            except APIError as error:
                if error.status_code not in (404, 409):  # gone, or going
                    raise
        self.object_id = ""

    async def run_post_stop_hook(self) -> None:
        """After every stop, and after a start that failed: nothing stays, and the gateway forgets the token at once."""
        await self._revoke()
        try:
            await self._remove_container()
            await self._thread(self.forwarding.forget, self.names.own)
            await self._thread(self.networks.remove, self.names.own)
        except (DockerException, RequestException, OSError, SettingsError) as error:
            self.log.warning("%s: what it left will be removed later: %s", self._log_name, error)
        if self.post_stop_hook is not None:
            await super().run_post_stop_hook()

    async def _revoke(self) -> None:
        settings = self.hub_settings
        body = json.dumps({"user": self.user.name, "server": self.name})
        headers = {
            "Authorization": f"token {settings.gateway_token}",
            "Content-Type": "application/json",
            "Host": urlsplit(settings.gateway_operations).netloc,
        }
        try:
            where = await asyncio.to_thread(near_url, settings.gateway_operations, settings.pool)
            answer = await AsyncHTTPClient().fetch(
                f"{where}/revoke", method="POST", body=body, headers=headers, connect_timeout=2, request_timeout=3
            )
            unheard = json.loads(answer.body or b"{}").get("unheard")
        except (HTTPError, OSError, ValueError) as error:
            self.log.warning("The gateway was not told that %s stopped: %s", self._log_name, error)
        else:
            if unheard:
                self.log.warning("%d of the gateways did not hear that %s stopped", unheard, self._log_name)


async def _listens(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:  # also a timeout
        return False
    writer.close()
    return True
