"""`python -m tests.packaging.settings` writes docs/settings.md from the traits of `Cellar`.

`jupyter server --help-all` ends before it looks for extensions, so it can list none of theirs.
"""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path
from typing import Any

from cellar_jupyter.server.app import Cellar
from traitlets import TraitType

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "settings.md"
HEAD = """# Settings

Of the server extension, in `jupyter_server_config.py` or, as `--Cellar.NAME=VALUE`, behind `jupyter lab`:

```python
c.Cellar.base_url = "http://server:8001/v1"
```

This page is written by `python -m tests.packaging.settings`; what it says stands beside each setting in
[app.py](../jupyter_ext/cellar_jupyter/server/app.py).
"""


def page() -> str:
    traits = [each for each in vars(Cellar).values() if isinstance(each, TraitType)]
    return "\n".join([HEAD, *map(_entry, traits)])


def _entry(trait: TraitType[Any, Any]) -> str:
    """A default that the environment may change stands in the help already."""
    static = "" if "Default:" in trait.help else trait.default_value_repr()
    value = f" = {static}" if static not in ("", "''", "{}", "None") else ""
    return f"## `c.Cellar.{trait.name}{value}`\n\n{cleandoc(trait.help)}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
