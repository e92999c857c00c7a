"""`doctor`: is what is loaded here still what was signed, and does it run?"""

from __future__ import annotations

from collections.abc import Iterator

from cellar_offline import signature
from cellar_offline.checks import DOUBT, WELL, WRONG, Check
from cellar_offline.engine import Engine, EngineError
from cellar_offline.files import is_whole
from cellar_offline.release import LOADING, Release, Root
from cellar_offline.site import Site
from cellar_offline.starting import address, answers


def doctor(root: Root, engine: Engine) -> Iterator[Check]:
    """Checks as they are made. Unusable when no release is loaded."""
    release = root.require()
    signed = Check("release", WELL, f"{release.manifest.title}, signed by {release.signed_by}")
    cure = "A bundle that somebody answers for: load --from FOLDER --key FILE"
    yield signed if release.signer else Check("release", DOUBT, signed.found, cure)
    yield files(release)
    yield from _images(release, engine)
    yield _keys(root)
    halves = sorted(each.name[len(LOADING) :][:12] for each in root.releases.glob(f"{LOADING}*"))
    if halves:
        yield Check("loads", DOUBT, f"of {', '.join(halves)} did not end", "Load again, or `remove` them.")
    yield from _stack(root, engine, release)


def files(release: Release) -> Check:
    bad = [
        each.path for each in release.manifest.files if not is_whole(release.path / each.path, each.sha256, each.size)
    ]
    words = f"{len(bad)} of {len(release.manifest.files)} are changed or gone: {', '.join(bad[:5])}"
    cure = "Somebody changed them, or the disk did. Load again from the media: only these are read."
    return Check("files", WRONG, words, cure) if bad else Check("files", WELL, "as they were signed")


def _images(release: Release, engine: Engine) -> Iterator[Check]:
    try:
        found = engine.images() if release.manifest.images else {}
    except EngineError as error:
        yield Check("Docker", WRONG, str(error), "systemctl status docker")
        return
    lost = [each.reference for each in release.manifest.images if found.get(each.id) != each.layers]
    words = f"not in Docker, or others: {', '.join(lost)}"
    cure = "Load again from the media: only these are read."
    yield Check("images", WRONG, words, cure) if lost else Check("images", WELL, "as they were signed")


def _keys(root: Root) -> Check:
    try:
        mine = signature.fingerprint(signature.read_key(root.keys / "site.pub"))
        pinned = signature.fingerprint(signature.read_key(root.pinned)) if root.pinned.is_file() else "none"
    except signature.BadSignature as error:
        return Check("keys", WRONG, str(error), "Load again: the site's key is made where it is missing.")
    return Check("keys", WELL, f"bundles are expected from {pinned}; reports are signed by {mine}")


def _stack(root: Root, engine: Engine, release: Release) -> Iterator[Check]:
    site = Site(root, engine)
    if not site.started():
        yield Check("stack", DOUBT, "was not started yet", "Start it: up")
        return
    if site.started() != release.id:
        yield Check("stack", DOUBT, f"runs the release {site.started()[:12]}, which is not the current one", "up")
    try:
        running = site.running()
    except EngineError as error:
        yield Check("stack", WRONG, str(error), "systemctl status docker")
        return
    base = address(site.settings())
    good = answers(f"{base}hub/login")
    cure = f"{site.compose}/cellar-hub check says more; `up` starts what does not run."
    yield Check("stack", WELL if good else WRONG, f"{len(running)} services run; {base} answers: {good}", cure)
    if site.started() != release.id:
        return
    wanted = {image.reference: image.id for image in release.manifest.images}
    behind = sorted(name for name, each in running.items() if wanted.get(each.named, each.image) != each.image)
    if behind:
        yield Check("services", WRONG, f"of another release: {', '.join(behind)}", "`up` did not come to its end: up")
    for image in release.manifest.images:
        found = engine.id_of(image.reference)
        if found != image.id:
            words = f"{image.reference} is {found[:19] or 'nothing'}, not the release's"
            yield Check("image names", WRONG, words, "Name them again: up")
