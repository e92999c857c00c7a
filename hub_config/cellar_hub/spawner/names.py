"""What a workspace's container, network and volume are called, and their labels. Pure.

Design note. A user name may be any Unicode text up to 255 characters; Docker takes few characters, and a host name at
most 63. Names that are already plain stay as they are, because administrators read them in `docker ps`. Every other
name is cut down to what is plain in it, plus `---` and 80 bits of its SHA-256. A plain name never has two dashes in a
row, so no name of the first kind can equal one of the second, nor one with a server's name behind `--`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

SITE = "org.cellar.site"
KIND = "org.cellar.kind"  # workspace or probe
SERVICE = "org.cellar.service"  # on containers of the compose file: hub, proxy, gateway, ...
FORWARDER = "org.cellar.forwarder"  # a forwarder's number, from 1
USER = "org.cellar.user"  # as JupyterHub knows it
OWNER = "org.cellar.owner"  # on volumes: when the hub made the user whose files they are (`homes`)
SERVER = "org.cellar.server"  # name of a named server; "" for the default one
PROFILE = "org.cellar.profile"
GPUS = "org.cellar.gpus"  # device ids with commas

WORKSPACE = "workspace"
PROBE = "probe"
LONGEST_LABEL = 1000  # characters

_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_LONGEST_PLAIN = 28


def slug(name: str) -> str:
    """A name of at most 44 characters from `[a-z0-9-]`, another one for every other `name`."""
    if len(name) <= _LONGEST_PLAIN and _PLAIN.fullmatch(name):
        return name
    rest = "-".join(re.findall(r"[a-z0-9]+", name[:200].lower(), re.ASCII))[:20].strip("-") or "user"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return f"{rest}---{digest}"


@dataclass(frozen=True)
class Names:
    """The names of one workspace, the same for its container, its network and its volume."""

    site: str
    user: str
    server: str = ""

    @property
    def own(self) -> str:
        both = slug(self.user) + (f"--{slug(self.server)}" if self.server else "")
        return f"{self.site}-ws-{both}"

    @property
    def hostname(self) -> str:
        """At most 63 characters, and no name of a service."""
        return f"ws-{slug(self.user)}"

    def labels(self, kind: str = WORKSPACE) -> dict[str, str]:
        return {
            SITE: self.site,
            KIND: kind,
            USER: self.user[:LONGEST_LABEL],
            SERVER: self.server[:LONGEST_LABEL],
        }


def is_ours(labels: Mapping[str, str] | None, site: str) -> bool:
    """Whether something was made by this installation's hub: never touch what was not."""
    found = labels or {}
    return found.get(SITE) == site and found.get(KIND) in (WORKSPACE, PROBE) and SERVICE not in found
