"""The sealed proof of this clone: builds a signed bundle with the embedded model, damages it and sees it refused, loads
it into an empty engine in a sealed namespace, and proves there that it asks nobody.

    python -m tools.proving [--idle SECONDS] [--report FOLDER]          BUILD=0 takes the images as they are

What runs after `build` is the bundle's own zipapp. Ends with 0 only when the report says sealed and its signature
holds; with MISSING when this machine cannot (root, Docker's own programs, iptables, ip).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools import images
from tools.images import MISSING, ROOT, say

RECIPE = """\
name = "cellar-ci"
chunk_size = "32M"
[images]
"""
PROGRAMS = ("dockerd", "runc", "ip", "iptables", "ip6tables", "ssh-keygen")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Bundle:
    """One bundle in a folder of its own, and the program that came with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.media = folder / "media"
        self.root = folder / "root"
        self.key = folder / "key"
        self.known = ["--key", f"{self.key}.pub"]

    def build(self) -> None:
        """Signed by a key made for it."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        recipe = self.folder / "offline.toml"
        recipe.write_text(RECIPE)
        command = [sys.executable, "-m", "cellar_offline", "build", "-c", str(recipe), "--out", str(self.media)]
        done = subprocess.run([*command, "--key", str(self.key)], cwd=ROOT, env=_environment())
        if done.returncode != 0:
            raise SystemExit("the bundle could not be built")

    def run(self, command: str, *arguments: str, quiet: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of the bundle's own program, for this bundle's root."""
        program = [sys.executable, "-I", str(self.media / "cellar-offline.pyz"), command, "--root", str(self.root)]
        return subprocess.run(
            [*program, "--from", str(self.media), *self.known, *arguments], capture_output=quiet, text=True
        )

    def must_be_refused_when_damaged(self) -> None:
        """One bit of one chunk: `verify` names it, `load` leaves nothing behind."""
        chunk = max((self.media / "chunks").iterdir(), key=lambda each: (each.stat().st_size, each.name))
        whole = chunk.read_bytes()
        chunk.chmod(0o644)
        chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        verified = self.run("verify")
        if verified.returncode != 1 or not re.search(f"^damaged: .*{chunk.name}$", verified.stdout, re.MULTILINE):
            raise SystemExit(f"verify did not name the damaged chunk:\n{verified.stdout}{verified.stderr}")
        chunk.write_bytes(whole)
        manifest = self.media / "manifest.json"
        text = manifest.read_bytes()
        manifest.write_bytes(text.replace(b"cellar-ci", b"cellar-cj"))
        for command in ("load", "prove"):
            refused = self.run(command)
            if refused.returncode == 0:
                raise SystemExit(f"{command} took a manifest that was changed:\n{refused.stdout}")
        manifest.write_bytes(text)
        if (self.root / "current").exists():
            raise SystemExit("something of a damaged bundle was installed")
        if self.run("verify").returncode != 0:
            raise SystemExit(f"the bundle is not well when it is whole again:\n{self.run('verify').stdout}")

    def prove(self, idle: int, report: Path) -> None:
        shutil.rmtree(report, ignore_errors=True)
        done = self.run("prove", f"--idle={idle}", f"--report={report}", f"--work={self.folder}", quiet=False)
        found = json.loads((report / "proof.json").read_text()) if (report / "proof.json").is_file() else {}
        if done.returncode != 0 or found.get("verdict") != "sealed":
            raise SystemExit(f"the proof failed; {report} has its report")
        signers = self.folder / "signers"
        signers.write_text("site " + (self.root / "keys" / "site.pub").read_text())
        check = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "site", "-n", "cellar-proof"]
        signature = ["-s", str(report / "proof.json.sig")]
        subprocess.run([*check, *signature], input=(report / "proof.json").read_bytes(), check=True)
        controls = sum(
            sum(each[when].values())
            for each in found["containers"]
            for when in ("at_its_beginning", "at_the_end")
            if each[when]
        )
        say(f"{len(found['containers'])} containers, {controls} controls counted, 0 attempts of our own")


def _environment() -> dict[str, str]:
    path = os.pathsep.join(str(ROOT / each) for each in ("offline", "hub_config", "jupyter_ext"))
    return {**os.environ, "PYTHONPATH": path}


def missing() -> str:
    """What this machine lacks; empty when it can."""
    lost = [each for each in PROGRAMS if shutil.which(each, path=PATH) is None]
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        lost.insert(0, "root")
    return ", ".join(lost)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.proving", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--idle", type=int, default=120, metavar="SECONDS")
    parser.add_argument("--report", type=Path, default=ROOT / ".pytest_cache" / "reports" / "proof", metavar="FOLDER")
    options = parser.parse_args()
    if lost := missing():
        say(f"missing for the sealed proof: {lost}")
        sys.exit(MISSING)
    began = time.monotonic()

    def tell(text: str) -> None:
        say(f"{time.monotonic() - began:6.1f} s  {text}")

    if os.environ.get("BUILD") != "0":
        for name in (*images.NAMES, images.PROVE):
            images.build(name)
    tell("the images are there")
    images.CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="proof-", dir=images.CACHE) as folder:
        bundle = Bundle(Path(folder))
        bundle.build()
        tell("the bundle is built")
        bundle.must_be_refused_when_damaged()
        tell("a damaged one is refused")
        bundle.prove(options.idle, options.report)
        tell("the proof is there")


if __name__ == "__main__":
    try:
        main()
    except images.Missing as problem:
        say(str(problem))
        sys.exit(MISSING)
