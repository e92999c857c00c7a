"""Who signs a bundle, what a delta stands on, and the last step: what has a manifest is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cellar_offline import signature
from cellar_offline.building.problems import CannotBuild
from cellar_offline.building.recipe import Recipe
from cellar_offline.chunks import sync_folder
from cellar_offline.manifest import NAME, SIGNATURE, Manifest, parse
from cellar_offline.progress import size


@dataclass(frozen=True)
class Order:
    """What the command line says beside the recipe. `since`: an earlier bundle's folder or manifest."""

    out: Path
    since: Path | None = None
    allow_unsigned: bool = False

    @property
    def work(self) -> Path:
        """Beside the bundle, not in it: downloads, journal, layers on their way."""
        return self.out.with_name(self.out.name + ".work")


def signer_of(recipe: Recipe, order: Order) -> str:
    """The public key to sign for; "" for nobody. CannotBuild, before an hour's work instead of after it."""
    if recipe.key is None:
        if not order.allow_unsigned:
            raise CannotBuild(
                "No `key` in the recipe: nobody could tell who made the bundle. ssh-keygen -t ed25519 -f KEY makes "
                'one, key = "KEY" names it. A test bundle needs none: --allow-unsigned'
            )
        return ""
    public = recipe.public_key
    assert public is not None
    if not recipe.key.is_file() or not public.is_file():
        lost = recipe.key if not recipe.key.is_file() else public
        raise CannotBuild(f"The key {lost} is not there. ssh-keygen -t ed25519 -f NAME makes NAME and NAME.pub.")
    key = signature.read_key(public)
    probe = order.work / "probe"
    probe.parent.mkdir(parents=True, exist_ok=True)
    probe.write_bytes(b"probe\n")
    signature.check(probe.read_bytes(), signature.sign(probe, recipe.key).read_bytes(), key)
    return key


def earlier(order: Order, key: str) -> Manifest | None:
    """The manifest of `since`, signed by the same key: a delta to what somebody else made would leave holes."""
    if order.since is None:
        return None
    path = order.since / NAME if order.since.is_dir() else order.since
    if path.resolve().is_relative_to(order.out.resolve()):
        raise CannotBuild(f"The delta would be written over the bundle {order.since} that it stands on: choose --out.")
    try:
        text = path.read_bytes()
        signed = path.with_name(SIGNATURE).read_bytes() if key else b""
    except OSError as error:
        raise CannotBuild(f"The earlier bundle's {error.filename} cannot be read: {error.strerror}.") from None
    if key:
        signature.check(text, signed, key)
    return parse(text)


def publish(manifest: Manifest, copies: Mapping[str, Path], key: Path | None, public: str, order: Order) -> None:
    """Plain copies, then the signature, then the manifest: what has a manifest is whole."""
    made = order.work / NAME
    made.write_bytes(manifest.dump())
    if key is not None:
        signed = signature.sign(made, key)
        signature.check(made.read_bytes(), signed.read_bytes(), public)
    for name, path in copies.items():
        _move(path, order.out / name)
    if key is not None:
        _move(signed, order.out / SIGNATURE)
    _move(made, order.out / NAME)
    sync_folder(order.out)


def _move(path: Path, place: Path) -> None:
    """On the disk before it has its name."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    path.replace(place)


def summary(manifest: Manifest, order: Order, signer: str, call: Callable[[str], None] = print) -> None:
    """What a person does next."""
    media = sum(chunk.size for chunk in manifest.chunks)
    call(f"{manifest.title} is whole: {order.out}, {size(media)} in {len(manifest.chunks)} chunks.")
    call(f"Its id, for whoever approves it: {manifest.id}")
    if signer:
        call(f"Signed by {signer}. Send this fingerprint another way than the media.")
    else:
        call("UNSIGNED: nobody can tell who made it. For tests only.")
