"""The settings of Cellar's server extension, and its start.

Start-up pays for routes and traits only: httpx, the prompt builder and the index of old conversations are loaded after
the server has begun to serve, off its event loop.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from cellar import wire
from cellar.settings import Endpoint, SettingsError, endpoint_from_env, parse_base_url
from traitlets import Bool, Dict, Enum, Float, Int, List, Unicode, default
from traitlets.config import Configurable

FEATURES: tuple[wire.FeatureName, ...] = get_args(wire.FeatureName)


class Cellar(Configurable):
    """An AI assistant that asks only the model server named here."""

    problem = ""
    """What is wrong with the endpoint's settings: nobody is asked, and the panel says so."""

    hub_features: Mapping[wire.FeatureName, wire.Feature] = MappingProxyType({})
    """What the hub's policy switches off for this user, as the gateway said last."""

    base_url = Unicode(
        help="""
        Address of the model server's OpenAI-compatible API, ending in /v1 (vLLM, llama.cpp, or the hub's gateway).
        Default: the environment's VLLM_BASE_URL, else http://localhost:8001/v1. Questions go there and nowhere else.
        """
    ).tag(config=True)

    api_key = Unicode(
        help="""
        Key (or, towards the gateway, hub token) for the model server. Default: the environment's VLLM_API_KEY. Empty:
        none is sent.
        """
    ).tag(config=True)

    gateway = Bool(
        help="""
        The server at base_url is Cellar's gateway: it retries by itself, so this server repeats a request only when it
        could not connect. Default: true when the environment's CELLAR_GATEWAY is 1.
        """
    ).tag(config=True)

    retry = Bool(
        True,
        help="Repeat a request (twice at most) when the model server cannot have taken it. False: never.",
    ).tag(config=True)

    ca_bundle = Unicode(
        help="""
        PEM file with the certificate authorities to trust for an https base_url. Default: the environment's
        CELLAR_CA_BUNDLE. Empty: the system's.
        """
    ).tag(config=True)

    proxy = Unicode(
        help="""
        Proxy on the way to base_url (http://host:port). Default: the environment's CELLAR_PROXY. Empty: none, whatever
        the usual proxy variables say.
        """
    ).tag(config=True)

    read_timeout = Float(
        help="""
        Seconds of silence of the model server after which a turn ends with an error. Default: the environment's
        CELLAR_READ_TIMEOUT, else 300.
        """
    ).tag(config=True)

    model = Unicode(
        help="""
        Model that is asked when the user has chosen none. Default: the environment's CELLAR_MODEL. Empty: the first one
        the model server lists.
        """
    ).tag(config=True)

    tiny = Bool(
        help="""
        The model is the small one of the demonstration: the panel says so. Default: true when the environment's
        CELLAR_TINY_MODEL is 1.
        """
    ).tag(config=True)

    vision = Dict(
        help="""
        Which models see images, by name, where the server does not tell: {"Qwen2.5-VL-7B": True}. Pictures
        that a user attaches go to every model that is not known to be blind, those in outputs only to models known to
        see. Where nobody tells and the server refuses a picture, the user is told and can ask again without it, and the
        model counts as blind until this Jupyter server restarts.
        """
    ).tag(config=True)

    context_length = Dict(
        help="Context length in tokens, by model name, for servers that do not tell or tell too much.",
    ).tag(config=True)

    max_tokens = Int(
        help="""
        Tokens an answer may have, in the panel and in kernels. Default: the environment's CELLAR_MAX_TOKENS. 0: a share
        of the model's context length.
        """,
    ).tag(config=True)

    temperature = Float(
        None,
        allow_none=True,
        help="Sampling temperature. None: the model server's own default.",
    ).tag(config=True)

    history = Enum(
        ("disk", "memory"),
        "disk",
        help="""
        Where conversations are kept: "disk" (files only the user can read, under the Jupyter data directory) or
        "memory" (nothing is written; a restart loses them, and the panel says so).
        """,
    ).tag(config=True)

    history_dir = Unicode(
        help="""
        Directory of the conversations when history is "disk". Default: cellar in the Jupyter data directory.

        Several servers may share it where its file system has locks (flock). Where it has none (Lustre without the
        mount option flock, NFS without its lock service), give each server one of its own; an answer that a crash left
        unfinished is then taken up by a server that starts ten minutes later or more, as nothing tells before whether
        its server still runs.
        """,
    ).tag(config=True)

    max_conversation_bytes = Int(
        64 * 1024 * 1024,
        help="Bytes a conversation's file may have; a longer one takes no new question (its text is never dropped).",
    ).tag(config=True)

    auto_title = Bool(
        True,
        help="Name a new conversation after its first question. False: after its date.",
    ).tag(config=True)

    orphan_grace = Float(
        300.0,
        help="""
        Seconds a model may go on generating while nobody reads the answer (all pages closed); then the turn is stopped
        and keeps its text. 0: never.
        """,
    ).tag(config=True)

    get_counts_for = Float(
        60.0,
        help="Seconds for which a page that asks for a turn's state counts as reading it (hidden ones ask every 20 s).",
    ).tag(config=True)

    features = Dict(
        help="""
        Switches an administrator sets, by name: {"export": {"enabled": False, "reason": "Policy 12"}}. What is off is
        refused, and shown with a lock and the reason. Names: attach_files (files and folders of the workspace, and
        uploads into it), export, images, search (of the workspace, behind @). A name that is none of these locks
        nothing: the log and the panel say so.
        """
    ).tag(config=True)

    locked_settings = List(
        Unicode(),
        help="""
        Plugins of JupyterLab whose settings a user cannot change, like "@jupyterlab/apputils-extension:sanitizer": what
        they set in the settings editor is refused, and a file of theirs is not read. Set the values in overrides.json.
        """,
    ).tag(config=True)

    @default("base_url")
    def _base_url(self) -> str:
        return endpoint_from_env(os.environ).base_url

    @default("api_key")
    def _api_key(self) -> str:
        return endpoint_from_env(os.environ).api_key

    @default("gateway")
    def _gateway(self) -> bool:
        return endpoint_from_env(os.environ).gateway

    @default("ca_bundle")
    def _ca_bundle(self) -> str:
        return endpoint_from_env(os.environ).ca_bundle

    @default("proxy")
    def _proxy(self) -> str:
        return endpoint_from_env(os.environ).proxy

    @default("read_timeout")
    def _read_timeout(self) -> float:
        return endpoint_from_env(os.environ).read_timeout

    @default("model")
    def _model(self) -> str:
        return endpoint_from_env(os.environ).model

    @default("max_tokens")
    def _max_tokens(self) -> int:
        return endpoint_from_env(os.environ).max_tokens

    @default("tiny")
    def _tiny(self) -> bool:
        return os.environ.get("CELLAR_TINY_MODEL") == "1"

    @default("history_dir")
    def _history_dir(self) -> str:
        from jupyter_core.paths import jupyter_data_dir

        return os.path.join(jupyter_data_dir(), "cellar")

    def feature_switches(self) -> dict[wire.FeatureName, wire.Feature]:
        """Off wins, whether this server's settings or the hub's policy say it."""
        switches = _read_features(self.features)[0]
        switched_off = {name: switch for name, switch in self.hub_features.items() if not switch.enabled}
        return {**switches, **switched_off}

    def feature_problems(self) -> dict[str, str]:
        """What of `features` cannot be obeyed as it is written: said in the log and in the panel, for it may be a lock
        that was misspelt. By an id that says what and of which entry, for words in the user's language."""
        return _read_features(self.features)[1]

    def require(self, feature: wire.FeatureName) -> None:
        """Raises `Forbidden` for a feature that the administrator switched off: in his words, if he gave any."""
        from cellar.errors import Forbidden

        switch = self.feature_switches().get(feature)
        if switch is None or switch.enabled:
            return
        if switch.reason:
            raise Forbidden(switch.reason)
        raise Forbidden(f"{feature} is switched off on this server", detail={"why": "switched_off"})

    def policy(self) -> wire.Policy:
        history: Literal["disk", "memory"] = "memory" if self.history == "memory" else "disk"
        return wire.Policy(features=self.feature_switches(), history=history)


def _read_features(given: dict[Any, Any]) -> tuple[dict[wire.FeatureName, wire.Feature], dict[str, str]]:
    """The switches, and a line for each entry that is wrong. One that names a feature and cannot be read is off."""
    import msgspec

    switches: dict[wire.FeatureName, wire.Feature] = {}
    problems: dict[str, str] = {}
    for name, value in given.items():
        if name not in FEATURES:
            problems[f"no_feature-{name}"] = (
                f"c.Cellar.features: {name!r} is no feature, so it locks nothing ({', '.join(FEATURES)} are)"
            )
            continue
        try:
            switches[name] = msgspec.convert(value, wire.Feature)
        except msgspec.ValidationError as error:
            switches[name] = wire.Feature(enabled=False)
            problems[f"unreadable-{name}"] = f"c.Cellar.features[{name!r}] cannot be read, so {name} is off: {error}"
    return switches, problems


def endpoint_of(config: Cellar) -> Endpoint:
    """The endpoint that the settings describe. Raises `SettingsError`, naming the variable or the trait."""
    config.base_url = parse_base_url(config.base_url, "c.Cellar.base_url")
    config.proxy = parse_base_url(config.proxy, "c.Cellar.proxy") if config.proxy else ""
    return Endpoint(
        base_url=config.base_url,
        api_key=config.api_key,
        gateway=config.gateway,
        model=config.model,
        ca_bundle=config.ca_bundle,
        proxy=config.proxy,
        read_timeout=config.read_timeout,
        max_tokens=config.max_tokens,
    )


def load(server_app: Any) -> None:
    """Add Cellar to a Jupyter server: routes now, the rest once it serves."""
    from .door import Door
    from .kernels import publish_endpoint
    from .routes import handlers

    config = Cellar(parent=server_app)
    if config.locked_settings:
        from .locked import lock_settings

        lock_settings(config.locked_settings)
    for problem in config.feature_problems().values():
        server_app.log.error("Cellar: %s", problem)
    try:
        publish_endpoint(endpoint_of(config), server_app.log)
    except SettingsError as error:
        config.problem = str(error)
        server_app.log.error("Cellar: %s", error)
    door = Door(config, server_app)
    server_app.web_app.settings["cellar"] = door
    server_app.web_app.add_handlers(".*$", handlers(server_app.web_app.settings["base_url"]))
    server_app.io_loop.add_callback(door.open_soon)
    if not config.problem:
        server_app.log.info("Cellar asks the model server at %s", config.base_url)
