"""Settings of JupyterLab that are the administrator's: a user's own value counts nothing, and is not taken.

JupyterLab can lock that a plugin is *on* (`lockedExtensions`), not what its settings are: they are a file in the user's
home, which the user writes through the settings API or with any program. So the file is not read for a locked plugin,
and a PUT of it is refused in words. What counts are the schema's defaults and the image's overrides.json. A file
labconfig/page_config.json in the home could switch the plugin itself off, locked or not, and is not read either.

Design note. jupyterlab_server has no hook for that. Its handlers read and write through three public functions, and
those are taken here; where a later release has them no more, the start fails and says so, because a lock that silently
is none is worse than no server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from jupyter_server.config_manager import recursive_update
from tornado.web import HTTPError

_locked: frozenset[str] = frozenset()
_is_guarded = False


def lock_settings(plugins: Collection[str]) -> None:
    """From now on in this process. Raises AttributeError where JupyterLab's server has changed."""
    global _locked, _is_guarded
    _locked = frozenset(plugins)
    if _is_guarded or not _locked:
        return
    from jupyterlab_server import config, settings_handler

    _replace(settings_handler, "get_settings", _without_users_values)
    _replace(settings_handler, "save_settings", _but_for_locked)
    _replace(config, "get_static_page_config", _without_home)
    _is_guarded = True


def _replace(module: ModuleType, name: str, by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(module, name, by(getattr(module, name)))


def _without_users_values(read: Callable[..., Any]) -> Callable[..., Any]:
    def get_settings(*args: Any, **more: Any) -> Any:
        result, warnings = read(*args, **more)
        for found in [result] if "id" in result else result["settings"]:
            if found["id"] in _locked and "raw" in found:  # a list of ids has none
                found.update(raw="{}", settings={}, last_modified=None, created=None)
        return result, warnings

    return get_settings


def _but_for_locked(write: Callable[..., None]) -> Callable[..., None]:
    def save_settings(schemas_dir: str, settings_dir: str, schema_name: str, *args: Any, **more: Any) -> None:
        if schema_name in _locked:
            raise HTTPError(403, f"{schema_name} is locked by the administrator", reason="Locked by the administrator")
        write(schemas_dir, settings_dir, schema_name, *args, **more)

    return save_settings


def _without_home(read: Callable[..., Any]) -> Callable[..., Any]:
    def get_static_page_config(*args: Any, level: str = "all", **more: Any) -> Any:
        if level != "all":
            return read(*args, level=level, **more)
        found: dict[str, Any] = {}
        for place in ("system", "sys_prefix"):  # the image's own
            recursive_update(found, read(*args, level=place, **more))
        return found

    return get_static_page_config
