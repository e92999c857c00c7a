"""`prove`: the command of this room."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from cellar_offline import loading
from cellar_offline.checks import WRONG
from cellar_offline.doctor import files
from cellar_offline.engine import Engine
from cellar_offline.media import Media
from cellar_offline.proving import remains, report, words
from cellar_offline.proving.proof import Bring, Wanted, copy_images, prove, require_room
from cellar_offline.release import DEFAULT, Release, Root, Unusable

IDLE = 600  # seconds


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "run the stack where every call to the outside is counted and dropped: does it make any?"
    command = commands.add_parser("prove", help=about, description=about)
    command.set_defaults(run=run)
    command.add_argument("--root", type=Path, default=DEFAULT, help=f"folder of releases and settings ({DEFAULT})")
    about = "take the bundle from these media, into an empty engine; else: the current release, as it is loaded"
    command.add_argument("--from", dest="media", type=Path, nargs="+", metavar="FOLDER", help=about)
    command.add_argument("--key", type=Path, metavar="FILE", help="with --from: the public key that you expect")
    command.add_argument("--allow-unsigned", action="store_true", help="with --from: take what nobody signed")
    command.add_argument("--idle", type=int, default=IDLE, metavar="SECONDS", help=f"at the end ({IDLE})")
    command.add_argument("--overlays", metavar="NAMES", help="compose overlays, instead of the bundle's own")
    about = "for proof.json, its signature and PROOF.md (proof, in --root)"
    command.add_argument("--report", type=Path, metavar="FOLDER", help=about)
    about = "where the proof's engine keeps its images until it ends; twice the images' size (/var/tmp)"
    command.add_argument("--work", type=Path, default=Path("/var/tmp"), metavar="FOLDER", help=about)


def run(options: argparse.Namespace) -> int:
    root = Root(options.root)
    bring = _from_media(root, options) if options.media else _from_here(root, options.work)
    folder = options.report or root.path / "proof"
    overlays = None if options.overlays is None else options.overlays.replace(",", " ").split()
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _interrupt)  # an engine and its containers would go on
    with remains.workplace(options.work) as work:
        found = prove(Wanted(work, folder, options.idle, overlays), bring, say)
    made = report.save(found, folder, root.site_key if root.site_key.is_file() else None)
    print(f"\n{words.ENGLISH[found['verdict']]}\n{words.KOREAN[found['verdict']]}")
    for line in words.reasons(found):
        print(f"  {line}")
    for each in found["attempts"]:
        print(f"  {words.attempt(each)}")
    print("\nThe report: " + ", ".join(map(str, made)))
    return 0 if found["verdict"] == report.SEALED else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _from_media(root: Root, options: argparse.Namespace) -> Bring:
    media = Media(options.media)
    bundle, signed = loading.believe(root, media, options.key, options.allow_unsigned)
    with root.locked():
        root.make_keys("")  # the site's own, with which the report is signed; none is pinned before a `load`

    def bring(scratch: Root) -> Release:
        with scratch.locked():
            return loading.load(scratch, media, bundle, signed, Engine(), say)

    return bring


def _from_here(root: Root, work: Path) -> Bring:
    release = root.require()
    require_room(release, work)
    found = files(release)
    if found.state == WRONG:  # the report would name a bundle that this is not
        raise Unusable(f"Files of {release.manifest.title}: {found.found}. {found.cure}")
    outside = dict(os.environ)

    def bring(_: Root) -> Release:
        say("copying the images into the seal")
        copy_images(release, outside)
        return release

    return bring


def say(text: str) -> None:
    print(f"  {text}", flush=True)
