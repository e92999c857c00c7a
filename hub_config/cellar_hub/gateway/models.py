"""The table of model servers: which model is where, for what, for whom. Pure: text in, table out.

    [[models]]                            # CELLAR_MODELS: TOML, or the same as JSON
    model = "coder-large"                 # as the server calls it
    base_url = "http://vllm-large:8001/v1"
    key_variable = "VLLM_LARGE_KEY"       # the environment variable that holds its key; absent: no key
    roles = ["chat", "completion"]        # also "embeddings"; absent: chat and completion
    max_inflight = 32                     # requests at that server at once (about vLLM's --max-num-seqs)
    groups = ["research"]                 # whose members may use it; absent: everybody
    priority = true                       # the server runs --scheduling-policy priority
    workers = ["http://gpu1:8001"]        # where base_url is a vllm-router: the servers behind it, for their metrics

Rows with the same base URL are one server with one queue (a base model and its LoRA adapters). `VLLM_BASE_URL` alone is
the one-row form: one server, and whatever models it lists.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from cellar.settings import SettingsError, parse_base_url

from ..values import parse_workers

Role = Literal["chat", "completion", "embeddings"]
DEFAULT_ROLES: tuple[Role, ...] = ("chat", "completion")
ALL_ROLES: tuple[Role, ...] = ("chat", "completion", "embeddings")
DEFAULT_INFLIGHT = 32
MOST_INFLIGHT = 4096


class ModelServer(msgspec.Struct, frozen=True, kw_only=True):
    """One address with one queue. `key` goes there and nowhere else."""

    base_url: str
    key: str = ""
    max_inflight: int = DEFAULT_INFLIGHT
    priority: bool = False
    workers: tuple[str, ...] = ()
    """Addresses of the servers behind it, when it is a vllm-router: each says of itself how it is."""

    @property
    def root(self) -> str:
        """Where vLLM has /health, /metrics and /tokenize."""
        return self.base_url.removesuffix("/v1")

    def __repr__(self) -> str:
        return f"ModelServer({self.base_url!r})"  # never the key


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row; `model` empty: every model that the server lists and no other row names."""

    server: ModelServer
    model: str = ""
    roles: tuple[Role, ...] = DEFAULT_ROLES
    groups: tuple[str, ...] = ()

    def open_to(self, groups: Iterable[str]) -> bool:
        return not self.groups or not set(self.groups).isdisjoint(groups)


class _Row(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    model: str
    base_url: str
    key_variable: str = ""
    roles: tuple[Role, ...] = DEFAULT_ROLES
    max_inflight: int = DEFAULT_INFLIGHT
    groups: tuple[str, ...] = ()
    priority: bool = False
    workers: tuple[str, ...] = ()


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    models: tuple[_Row, ...]


class ModelTable:
    """All rows, in the file's order. Which models an open row stands for is told by what its server lists."""

    def __init__(self, rows: tuple[ModelRow, ...]) -> None:
        self.rows = rows
        self.servers: tuple[ModelServer, ...] = tuple({row.server.base_url: row.server for row in rows}.values())
        self._named = {row.model: row for row in rows if row.model}
        self._open = tuple(row for row in rows if not row.model)

    def find(self, model: str, listed: Mapping[str, Iterable[str]]) -> ModelRow | None:
        """The row of a model; `listed`: base URL -> the models that the server there lists now."""
        row = self._named.get(model)
        if row is not None:
            return row
        return next((each for each in self._open if model in listed.get(each.server.base_url, ())), None)

    def served(self, listed: Mapping[str, Iterable[str]]) -> list[tuple[str, ModelRow]]:
        """Every model with its row, in the table's order."""
        found: dict[str, ModelRow] = {}
        for row in self.rows:
            names = [row.model] if row.model else listed.get(row.server.base_url, ())
            for name in names:
                if row.model or name not in self._named:
                    found.setdefault(name, row)
        return list(found.items())


def one_server(
    base_url: str,
    key: str,
    max_inflight: int = DEFAULT_INFLIGHT,
    *,
    priority: bool = False,
    workers: tuple[str, ...] = (),
) -> ModelTable:
    """The one-row form. Raises `SettingsError` for VLLM_BASE_URL."""
    address = parse_base_url(base_url, "VLLM_BASE_URL")
    server = ModelServer(base_url=address, key=key, max_inflight=max_inflight, priority=priority, workers=workers)
    return ModelTable((ModelRow(server=server, roles=ALL_ROLES),))


def parse_models(text: str, source: str, env: Mapping[str, str]) -> ModelTable:
    """The file's text, TOML or JSON (which begins with a brace). `SettingsError` begins with `source`."""
    try:
        tables = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise SettingsError(source, f"is neither TOML nor JSON: {problem}") from None
    try:
        file = msgspec.convert(tables, _File)
    except msgspec.ValidationError as problem:
        raise SettingsError(source, f"has a wrong value: {problem}") from None
    if not file.models:
        raise SettingsError(source, "names no model")
    rows: dict[str, ModelRow] = {}
    servers: dict[str, ModelServer] = {}
    for number, row in enumerate(file.models, 1):
        where = f"row {number} ({row.model!r})"
        server = _server(row, source, where, env)
        if servers.setdefault(server.base_url, server) != server:
            raise SettingsError(
                source, f"has in {where} another key, max_inflight, priority or workers for a base_url named before"
            )
        if not row.model or len(row.model) > 200 or not row.model.isprintable():
            raise SettingsError(source, f"has in {where} no usable model name")
        if row.model in rows:
            raise SettingsError(source, f"names {row.model!r} twice")
        if not row.roles:
            raise SettingsError(source, f"has in {where} no role")
        rows[row.model] = ModelRow(server=servers[server.base_url], model=row.model, roles=row.roles, groups=row.groups)
    return ModelTable(tuple(rows.values()))


def _server(row: _Row, source: str, where: str, env: Mapping[str, str]) -> ModelServer:
    if not 1 <= row.max_inflight <= MOST_INFLIGHT:
        raise SettingsError(
            source, f"has in {where} max_inflight {row.max_inflight}; it goes from 1 to {MOST_INFLIGHT}"
        )
    try:
        base_url = parse_base_url(row.base_url, "base_url")
        workers = parse_workers(" ".join(row.workers), "workers")
    except SettingsError as problem:
        raise SettingsError(source, f"has in {where} a wrong address: {problem}") from None
    key = ""
    if row.key_variable:
        key = env.get(row.key_variable, "").strip()
        if not key:
            raise SettingsError(source, f"names in {where} the variable {row.key_variable}, which is not set")
    return ModelServer(
        base_url=base_url, key=key, max_inflight=row.max_inflight, priority=row.priority, workers=workers
    )
