"""A bundle becomes a release: its files into a folder beside the others, its images into Docker, then one switch.

Nothing that runs is touched: files go to a folder that nobody uses yet, images get a tag that nobody asks for, and the
tags that the stack asks for are moved by `up` alone. Everything is hashed before it counts, and what is there counts as
done, so that a load that was killed, or whose disk was full, goes on where it was.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cellar_offline import room, signature, wheels
from cellar_offline.engine import Engine
from cellar_offline.files import Files
from cellar_offline.images import Images
from cellar_offline.manifest import NAME, File, Manifest, parse
from cellar_offline.media import BadMedia, Media
from cellar_offline.release import OWN, Release, Root, Unusable, write

SHOWN = 20  # missing chunks that are listed; `verify` names all
Bundle = tuple[Manifest, bytes]
"""The manifest, and its bytes."""


@dataclass(frozen=True)
class Signed:
    """Who signed: a fingerprint, and the key to pin; both "" for an unsigned bundle that was asked for."""

    signer: str
    key: str


def check_signature(root: Root, media: Media, text: bytes, named: Path | None, unsigned: bool) -> Signed:
    """Unusable, signature.BadSignature, signature.NoOpenSSH."""
    found = media.signatures()
    if unsigned and named is None and not root.pinned.is_file():
        return Signed("", "")
    key = root.expected_key(named)
    if not found:
        raise signature.BadSignature(
            "The bundle is not signed: there is no manifest.json.sig beside its manifest.json. Nothing says who made "
            "it. Ask its maker. A bundle for tests: --allow-unsigned, without --key and in a --root that knows none"
        )
    for each in found:
        signature.check(text, each, key)
    return Signed(signature.fingerprint(key), key)


def believe(root: Root, media: Media, named: Path | None, unsigned: bool) -> tuple[Bundle, Signed]:
    """The bundle on these media, and who signed it. Nothing of a manifest is read before that is known.

    As `check_signature`; BadMedia, BadManifest.
    """
    text = media.text()
    signed = check_signature(root, media, text, named, unsigned)
    return (parse(text), text), signed


def this_platform() -> str:
    """As Docker says it: "linux/amd64"."""
    machine = platform.machine().lower()
    names = {wheels_name: name for name, wheels_name in wheels.MACHINES.items()}
    return f"{platform.system().lower()}/{names.get(machine, machine)}"


def check_fits(root: Root, manifest: Manifest) -> None:
    """Whether this machine can use the bundle at all. Unusable."""
    if manifest.platform != this_platform():
        raise Unusable(f"{manifest.title} is for {manifest.platform}, and this machine is {this_platform()}.")
    for file in manifest.files:
        name = file.path.rpartition("/")[2]
        problem = wheels.complaint(name, manifest.python, manifest.platform) if file.kind == "wheel" else ""
        if problem:
            raise Unusable(f"The bundle was built wrong: {problem}.")
    if manifest.since is not None and root.find(manifest.since) is None:
        there = ", ".join(each.manifest.title for each in root.all()) or "none"
        raise Unusable(
            f"{manifest.title} is a delta: it has only what the bundle {manifest.since[:12]} does not have, and that "
            f"one is not loaded here (loaded: {there}). Load {manifest.since[:12]} first, or take the whole bundle."
        )


def load(
    root: Root, media: Media, bundle: Bundle, signed: Signed, engine: Engine, say: Callable[[str], None]
) -> Release:
    """The release, current; to be called under `root.locked()`.

    Unusable, BadMedia, EngineError, OSError: nothing was switched.
    """
    manifest, text = bundle
    check_fits(root, manifest)
    there = root.find(manifest.id)
    folder = there.path if there else root.loading(manifest.id)
    files = Files(folder, manifest, media)
    chosen = files.choose([each for each in root.all() if each.id != manifest.id], again=there is not None)
    images = Images(manifest, media, engine)
    _require_chunks(manifest, media, chosen, images)
    room.require(
        [
            ("the release's files", root.releases, files.needed(chosen)),
            ("images", images.folder, images.needed()),
        ]
    )
    files.write(chosen)
    say(f"{len(manifest.files)} files are there, {len(chosen)} of them new.")
    images.load(say)
    with room.named("the switch"):
        root.make_keys(signed.key)
        shutil.rmtree(files.parts)
        release = _signed_again(root, there, signed) if there else _finish(root, folder, manifest, text, signed)
        root.switch(release)
    return release


def _require_chunks(manifest: Manifest, media: Media, files: list[File], images: Images) -> None:
    wanted = {name for file in files for name in manifest.blob(file.sha256).chunks} | images.chunks()
    lost = media.missing(manifest, sorted(wanted))
    if lost:
        listed = "".join(f"\n  chunks/{name}" for name in lost[:SHOWN])
        more = f"\n  and {len(lost) - SHOWN} more (`verify` names all)" if len(lost) > SHOWN else ""
        raise BadMedia(
            f"{len(lost)} of the chunks that are needed are missing or cut. Is a medium not mounted, or not named by "
            f"--from?{listed}{more}"
        )


def _note(folder: Path, signed: Signed) -> None:
    write(folder / OWN / "signature.json", json.dumps({"signer": signed.signer}).encode())


def _signed_again(root: Root, there: Release, signed: Signed) -> Release:
    """A release that nobody had signed is somebody's as soon as the same bundle comes with a signature."""
    if not signed.signer or signed.signer == there.signer:
        return there
    _note(there.path, signed)
    return root.find(there.id) or there


def _finish(root: Root, folder: Path, manifest: Manifest, text: bytes, signed: Signed) -> Release:
    write(folder / OWN / NAME, text)
    _note(folder, signed)
    os.sync()
    folder.rename(root.releases / manifest.id)
    release = root.find(manifest.id)
    if release is None:
        raise Unusable(f"{root.releases / manifest.id} was removed by somebody else.")
    return release
