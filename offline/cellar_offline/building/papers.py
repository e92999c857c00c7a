"""MANIFEST.md and MANIFEST.ko.md: what is carried in, from where, under which licence, how large, with which hash.

Names and licences come from packages that others wrote: in a table they are text and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cellar_offline.building.contents import Contents
from cellar_offline.building.images import Packed
from cellar_offline.building.wheels import LOCAL
from cellar_offline.building.words import say
from cellar_offline.manifest import File
from cellar_offline.progress import size

OURS, MADE = "Cellar's source", "made with this bundle"
SOURCES = {OURS: "ours", MADE: "made", LOCAL: "local_folder"}
"""Where something is from -> the sentence that says it to people."""
COMMAND = "    python3 cellar-offline.pyz verify --from MEDIUM... --key KEY.pub"


def manifest_page(contents: Contents, language: str) -> str:
    """The whole page, Markdown."""

    def word(key: str, **values: object) -> str:
        return say(key, language, **values)

    blocks = [
        f"# {word('title')}: {plain(contents.name)} {plain(contents.version)}",
        word("intro"),
        table(["", ""], _head(contents, language)),
        f"## {word('check')}",
        word("check_text"),
        COMMAND,
        f"## {word('not_in')}",
        "\n".join(f"- {line}" for line in _not_in(contents, language)),
        f"## {word('images')}",
        _images(contents, language),
        f"## {word('models')}",
        *_models(contents, language),
        f"## {word('wheels')}",
        _wheels(contents, language),
        f"## {word('configuration')}",
        _files([each for each in contents.files if each.kind not in ("wheel", "weights")], language),
        f"## {word('licences')}",
        table(
            [word("licence"), word("parts")],
            [[plain(name) or word("debian_licence"), str(count)] for name, count in contents.licences()],
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def _head(contents: Contents, language: str) -> list[list[str]]:
    def word(key: str, **values: object) -> str:
        return say(key, language, **values)

    kind = word("delta", since=contents.since[:12]) if contents.since else word("whole")
    total = word(
        "total_value",
        images=len(contents.images),
        models=len(contents.models),
        wheels=len(contents.wheels),
        files=len(contents.files),
        size=size(contents.size),
        media=size(contents.media),
        chunk=size(contents.chunk_size),
    )
    return [
        [word("bundle"), f"{plain(contents.name)} {plain(contents.version)}"],
        [word("built"), contents.built],
        [word("platform"), contents.platform],
        [word("python"), f"Python {contents.python}" if contents.python else word("none")],
        [word("kind"), kind],
        [word("signer"), f"`{contents.signer}`" if contents.signer else f"**{word('unsigned')}**"],
        [word("total"), total],
    ]


def _not_in(contents: Contents, language: str) -> list[str]:
    lines = [say(key, language) for key in ("not_code", "not_secrets", "not_system")]
    if not contents.models:
        lines.append(say("not_models", language))
    if contents.missing:
        lines.append(say("not_images", language, names=", ".join(f"`{plain(name)}`" for name in contents.missing)))
    for model in contents.models:
        if model.left_out:
            names = ", ".join(f"`{plain(name)}`" for name in model.left_out)
            lines.append(say("left_out", language, name=plain(model.name), names=names))
    return lines


def _images(contents: Contents, language: str) -> str:
    if not contents.images:
        return say("none", language)
    rows = [
        [
            f"`{plain(each.image.reference)}`",
            plain(each.licence) or say("image_licence", language),
            size(each.size),
            str(len(each.image.layers)),
            _origin(each, language),
            f"`{each.image.id}`",
        ]
        for each in contents.images
    ]
    keys = ("image", "licence", "size", "layers", "from")
    lines = [table([*(say(key, language) for key in keys), "id"], rows)]
    for each in contents.images:
        counts = {kind: sum(package.kind == kind for package in each.packages) for kind in ("deb", "pypi", "npm")}
        title = say("inside", language, image=f"`{plain(each.image.reference)}`")
        lines.append(f"{title}: {say('inside_text', language, **counts)}")
    return "\n\n".join(lines)


def _origin(each: Packed, language: str) -> str:
    if each.image.digest:
        return say("registry", language, digest=f"`{each.image.digest}`")
    return say("made_here" if each.listed.built else "local", language)


def _models(contents: Contents, language: str) -> list[str]:
    if not contents.models:
        return [say("none", language)]
    blocks = []
    for model in contents.models:
        head = [
            [say("model", language), plain(model.name)],
            [say("from", language), _source(model.source, language)],
            [say("licence", language), plain(model.licence)],
            [say("size", language), size(model.size)],
        ]
        files = [each for each in contents.files if each.path.startswith(f"weights/{model.name}/")]
        text = say("licence_text", language, path=f"`{licence_path(model.name)}`")
        blocks += [f"### {plain(model.name)}", table(["", ""], head), text, _files(files, language)]
    return blocks


def licence_path(model: str) -> str:
    """Where the text of a model's licence lies in the release."""
    return f"licences/{model}.txt"


def _wheels(contents: Contents, language: str) -> str:
    if not contents.wheels:
        return say("none", language)
    rows = [
        [
            f"{plain(each.package.name)} {plain(each.package.version)}",
            plain(each.package.licence) or say("says_nothing", language),
            size(each.blob.size),
            _source(each.source, language),
            f"`{each.blob.sha256}`",
        ]
        for each in contents.wheels
    ]
    return table([*(say(key, language) for key in ("package", "licence", "size", "from")), "sha256"], rows)


def _files(files: Sequence[File], language: str) -> str:
    rows = [
        [
            f"`{plain(each.path)}`",
            plain(each.licence),
            size(each.size),
            _source(each.source, language),
            f"`{each.sha256}`",
        ]
        for each in files
    ]
    return table([*(say(key, language) for key in ("file", "licence", "size", "from")), "sha256"], rows)


def _source(source: str, language: str) -> str:
    """As the manifest has it; what we say ourselves in the reader's language."""
    return say(SOURCES[source], language) if source in SOURCES else plain(source)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text of others for a cell: one line, and no sign of Markdown or HTML means anything in it."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f\u0085\u2028\u2029]", " ", text).split())
    return re.sub(r"[&<>|`\[\]*]", lambda found: f"&#{ord(found[0])};", line)
