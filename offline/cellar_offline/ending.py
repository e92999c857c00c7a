"""`down`: the stack ends, workspaces too; users' files, databases and settings stay, and `up` goes on with them."""

from __future__ import annotations

from cellar_offline.release import Unusable
from cellar_offline.site import Site


def down(site: Site) -> None:
    """Unusable, EngineError."""
    if not site.started():
        raise Unusable(f"No stack was started in {site.root.path}.")
    done = site.run("down", "--remove-orphans")
    if done.returncode != 0:
        raise Unusable(f"The stack could not be ended: {done.stderr.strip()[-1000:]}")
    ours = ("--quiet", "--filter", f"label=org.cellar.site={site.name}", "--filter", "label=org.cellar.kind")
    if workspaces := site.engine.ask("ps", "--all", *ours).split():
        site.engine.ask("rm", "--force", *workspaces)
    if networks := site.engine.ask("network", "ls", *ours).split():
        site.engine.ask("network", "rm", *networks)
