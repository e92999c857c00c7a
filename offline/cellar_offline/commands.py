"""The commands of the target. Each takes the parsed options and gives the exit status."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from cellar_offline import checks, loading, signature, target
from cellar_offline.doctor import doctor
from cellar_offline.ending import down
from cellar_offline.engine import Engine, EngineError
from cellar_offline.images import kept_tag
from cellar_offline.manifest import Manifest
from cellar_offline.media import Findings, Media, hashed
from cellar_offline.preflight import preflight
from cellar_offline.progress import Progress, size
from cellar_offline.release import DEFAULT, LOADING, Release, Root, Unusable
from cellar_offline.site import Site, describe
from cellar_offline.starting import up

UNSIGNED = "NOBODY whom you expect: it is taken because of --allow-unsigned"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, run, words in (
        ("verify", verify, "is what lies on media whole, and by whom you expect? Changes nothing"),
        ("preflight", check_machine, "can this machine carry it? Each failure with its cure"),
        ("load", load, "files and images of a bundle onto this machine; the stack that runs goes on"),
        ("up", start, "start the release that was loaded, or go on with it after an upgrade"),
        ("down", end, "end the stack, workspaces too; users' files, databases and settings stay"),
        ("rollback", rollback, "make the release before the current one current again"),
        ("list", show, "releases that are loaded"),
        ("remove", remove, "an old release, and the names of its images"),
        ("doctor", examine, "is what is loaded still what was signed, and does it run?"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.set_defaults(run=run)
        command.add_argument("--root", type=Path, default=DEFAULT, help=f"folder of releases and settings ({DEFAULT})")
        if name in ("verify", "load", "preflight"):
            needed = name != "preflight"
            words = "folders or mount points with the bundle's media; one file may lie in any of them"
            command.add_argument(
                "--from", dest="media", type=Path, nargs="+", metavar="FOLDER", required=needed, help=words
            )
        if name in ("verify", "load"):
            command.add_argument("--key", type=Path, metavar="FILE", help="the public key that you expect")
            command.add_argument("--allow-unsigned", action="store_true", help="for tests: take what nobody signed")
        if name == "preflight":
            command.add_argument("--preset", help="of docs/models.md, instead of the bundle's own")
        if name == "up":
            words = "compose overlays from now on: '' for none, 'vllm tls'"
            command.add_argument("--overlays", metavar="NAMES", help=words)
        if name == "remove":
            command.add_argument("id", help="as `list` shows it, or its beginning")


def verify(options: argparse.Namespace) -> int:
    root = Root(options.root)
    media = Media(options.media)
    try:
        (manifest, _), signed = loading.believe(root, media, options.key, options.allow_unsigned)
    except signature.BadSignature as problem:
        print(f"signed by  WRONG: {problem}")
        print("Nothing more of it was read. Copy manifest.json and manifest.json.sig again; or ask its maker.")
        return 1
    print_title(manifest)
    print(f"signed by  {signed.signer or UNSIGNED}")
    progress = Progress("read", sum(each.size for each in manifest.chunks))
    found = media.findings(manifest, progress)
    progress.end()
    _print_findings(found)
    if found:
        print("The bundle is NOT well. Copy again what is named; `verify` again then.")
        return 1
    print(f"All {len(manifest.chunks)} chunks are whole, and nothing else lies among them.")
    return 0


def print_title(manifest: Manifest) -> None:
    """What a bundle says of itself."""
    kinds = {
        kind: sum(each.kind == kind for each in manifest.files) for kind in sorted({f.kind for f in manifest.files})
    }
    print(f"bundle     {manifest.title}, built {manifest.built} for {manifest.platform}")
    print(f"id         {manifest.id}")
    print(f"holds      {len(manifest.images)} images; files: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items()))
    print(f"on media   {len(manifest.chunks)} chunks, {size(sum(each.size for each in manifest.chunks))}")
    if manifest.since:
        print(f"delta      only for machines on which {manifest.since[:12]} is loaded")


def _print_findings(found: Findings) -> None:
    for words, names in (
        ("missing", found.missing),
        ("damaged", found.damaged),
        ("damaged, but another copy is good", found.bad_copies),
        ("foreign", found.foreign),
    ):
        for name in names:
            print(f"{words}: {one_line(name)}")


def one_line(name: str) -> str:
    """A name from a medium, which may be of any bytes: it neither writes lines of its own nor moves the cursor."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)


def load(options: argparse.Namespace) -> int:
    root = Root(options.root)
    media = Media(options.media)
    bundle, signed = loading.believe(root, media, options.key, options.allow_unsigned)
    print_title(bundle[0])
    print(f"signed by  {signed.signer or UNSIGNED}", flush=True)
    with root.locked():
        release = loading.load(root, media, bundle, signed, Engine(), say)
    print(f"{release.manifest.title} is loaded and current in {root.path}.")
    if before := release.before():
        print(f"Before it: {before[:12]} (`rollback` goes back to it).")
    print("What runs has not changed. `up` starts the new release.")
    return 0


def check_machine(options: argparse.Namespace) -> int:
    root = Root(options.root)
    media = Media(options.media) if options.media else None
    if media is None:
        release = root.require()
        manifest, wanted = release.manifest, describe(release)
    else:
        manifest, _ = media.manifest()
        wanted = _described(root, media, manifest)
    preset = wanted.preset if options.preset is None else options.preset
    if preset:
        wanted.named(preset)
    return checks.show(preflight(root, Engine(), manifest, wanted, preset, media))


def _described(root: Root, media: Media, manifest: Manifest) -> target.Target:
    """target.json of a bundle that is not loaded. BadMedia, target.BadTarget."""
    for file in manifest.files:
        if file.path == target.PATH:
            blob = manifest.blob(file.sha256)
            if file.size > target.LARGEST:
                raise target.BadTarget(f"{file.path} has {file.size} bytes; more than {target.LARGEST} are not read.")
            if blob.chunks:
                return target.parse(b"".join(hashed(media.blob(manifest, blob), blob)))
            base = root.find(manifest.since or "-")
            return describe(base) if base else target.Target()
    return target.Target()


def start(options: argparse.Namespace) -> int:
    root = Root(options.root)
    with root.locked():
        release = root.require()
        print(f"{release.manifest.title}, signed by {release.signed_by}", flush=True)
        overlays = None if options.overlays is None else options.overlays.replace(",", " ").split()
        base = up(Site(root, Engine()), release, overlays, say)
    print(f"\nCellar Hub is ready: {base}\n")
    return 0


def end(options: argparse.Namespace) -> int:
    root = Root(options.root)
    with root.locked():
        down(Site(root, Engine()))
    print("Nothing of it runs any more. Users' files, databases and settings are there; `up` goes on with them.")
    return 0


def rollback(options: argparse.Namespace) -> int:
    root = Root(options.root)
    with root.locked():
        release = root.back()
    print(f"{release.manifest.title} is current again. `up` starts it; what runs has not changed.")
    print("A database that a newer release has changed is not read by an older one: restore the backup from before")
    print("the upgrade (docs/offline.md).")
    return 0


def show(options: argparse.Namespace) -> int:
    root = Root(options.root)
    now = root.current()
    running = Site(root, Engine()).started()
    for release in root.all():
        marks = ["current"] if now and release.id == now.id else []
        marks += ["started last"] if release.id == running else []
        made = f"{release.id[:12]}  {release.manifest.version:<10} {release.manifest.built}"
        print(f"{made}  signed by {release.signed_by}  {', '.join(marks)}".rstrip())
    return 0


def remove(options: argparse.Namespace) -> int:
    root = Root(options.root)
    engine = Engine()
    with root.locked():
        halves = [
            each for each in root.releases.glob(f"{LOADING}*") if each.name[len(LOADING) :].startswith(options.id)
        ]
        for half in halves:
            shutil.rmtree(half)
        release = _one(root, options.id) if not halves else None
        if release is not None:
            if release.id == Site(root, engine).started():
                raise Unusable(f"{release.manifest.title} was started last. Start the current one first: up")
            tags = [kept_tag(image, release.manifest) for image in release.manifest.images]
            root.remove(release)
            for tag in tags:
                _untag(engine, tag)
    print("Removed. Images that nobody names any more go with: docker image prune")
    return 0


def _untag(engine: Engine, tag: str) -> None:
    """A container that still uses the image keeps it, and the rest of the work goes on."""
    try:
        if engine.id_of(tag):
            engine.untag(tag)
    except EngineError as problem:
        say(f"{tag} stays: {problem}")


def _one(root: Root, beginning: str) -> Release:
    found = [each for each in root.all() if len(beginning) >= 4 and each.id.startswith(beginning)]
    if len(found) != 1:
        raise Unusable(f"{beginning!r} is not the id of one loaded release, nor its beginning (`list` shows them).")
    return found[0]


def examine(options: argparse.Namespace) -> int:
    return checks.show(doctor(Root(options.root), Engine()))


def say(words: str) -> None:
    print(f"  {words}", flush=True)
