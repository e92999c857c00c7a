"""offline.toml: what a bundle is to be made of, read strictly. Pure but for the one file.

`offline/offline.toml.example` says what each key means. Paths are relative to the file's own folder. A key that is not
known is refused with the line it stands in: a misspelt one would otherwise be left out of the bundle in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomllib

from cellar_offline.building.problems import CannotBuild
from cellar_offline.manifest import IMAGE_NAME, LARGEST_CHUNK, WORD
from cellar_offline.wheels import MACHINES

REVISION = re.compile(r"[0-9a-f]{40}")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
T = TypeVar("T")
FOLDER, EMBEDDED, HUB = "folder", "embedded", "hub"


@dataclass(frozen=True)
class Images:
    """`leave_out`: names of images.json; `more`: references of images that this site's profiles name, by label."""

    overlays: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Wheels:
    """`python` is the target's whole version: wheels may want a patch release. `glibc`: minor version of glibc 2."""

    folder: str
    python: str
    glibc: int
    requirements: tuple[str, ...] = ()
    of_images: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    lock: Path | None = None


@dataclass(frozen=True)
class Weights:
    """`folder` for FOLDER; `repo` and `revision` (40 hex digits) for HUB."""

    name: str
    origin: str
    folder: Path | None = None
    repo: str = ""
    revision: str = ""
    licence: str = ""
    licence_file: Path | None = None
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Goal:
    """The table [target]: what becomes target.json."""

    preset: str = ""
    driver: str = ""
    memory_gib: float = 4.0


@dataclass(frozen=True)
class Recipe:
    """`chunk_size` in bytes; `key` None: unsigned; `jobs` 0: one for each processor; `extra`: files beside our own."""

    name: str
    version: str
    platform: str
    chunk_size: int
    key: Path | None
    jobs: int
    images: Images | None
    wheels: tuple[Wheels, ...]
    weights: tuple[Weights, ...]
    target: Goal
    docs: bool = True

    @property
    def public_key(self) -> Path | None:
        """The half that may be shown. A recipe may name it instead of the private one, which ssh-agent then holds."""
        if self.key is None or self.key.suffix == ".pub":
            return self.key
        return self.key.with_name(self.key.name + ".pub")

    @property
    def python(self) -> str:
        """Of the wheels, "3.11"; "" for none."""
        return ".".join(self.wheels[0].python.split(".")[:2]) if self.wheels else ""

    @property
    def overlays(self) -> tuple[str, ...]:
        return self.images.overlays if self.images else ()


def read(path: Path, version: str) -> Recipe:
    """The recipe in a file, `version` where it names none. CannotBuild names the file, the line and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotBuild(f"{path} cannot be read: {error}.") from None
    return parse(text, path, version)


def parse(text: str, path: Path, version: str) -> Recipe:
    """As `read`, of a text that stands in `path`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotBuild(f"{path} is not TOML: {error}.") from None
    top = _Table(table, "", 0, text, path)
    images = top.maybe_table("images", _images)
    recipe = Recipe(
        name=top.text("name", "cellar", WORD),
        version=top.text("version", version, WORD),
        platform=top.choice("platform", "linux/amd64", [f"linux/{each}" for each in MACHINES]),
        chunk_size=top.size("chunk_size", "64M"),
        key=top.path("key"),
        jobs=top.number("jobs", 0, 256),
        docs=top.flag("docs", True),
        images=images,
        wheels=top.tables("wheels", _wheels),
        weights=top.tables("weights", _weights),
        target=top.maybe_table("target", _goal) or Goal(),
    )
    top.end()
    _check(recipe, path)
    return recipe


def _images(table: _Table) -> Images:
    more = table.mapping("more")
    for label, reference in more.items():
        if not WORD.fullmatch(label) or not IMAGE_NAME.fullmatch(reference) or ":" not in reference.rpartition("/")[2]:
            raise table.wrong("more", f"{label} = {reference!r} is no label with the name and tag of an image")
    return Images(table.words("overlays"), table.words("leave_out"), tuple(more.items()))


def _wheels(table: _Table) -> Wheels:
    made = Wheels(
        folder=table.text("folder", "", WORD),
        python=table.text("python", "3.11.2", re.compile(r"3\.\d{1,2}\.\d{1,2}")),
        glibc=int(table.text("glibc", "2.36", re.compile(r"2\.\d{1,2}"))[2:]),
        requirements=table.words("requirements"),
        of_images=table.words("of_images"),
        files=tuple(table.beside(each) for each in table.words("files")),
        lock=table.path("lock"),
    )
    if not (made.requirements or made.of_images or made.files):
        raise table.wrong("requirements", "asks for nothing; requirements, of_images or files must")
    return made


def _weights(table: _Table) -> Weights:
    origin = table.choice("from", "", [FOLDER, EMBEDDED, HUB])
    made = Weights(
        name=table.text("name", "", WORD),
        origin=origin,
        folder=table.path("folder"),
        repo=table.text("repo", "", re.compile(r"([\w.-]+/[\w.-]+)?", re.ASCII)),
        revision=table.text("revision", "", re.compile(r".*")),
        licence=table.text("licence", "", re.compile(r"[^\x00-\x1f]*")),
        licence_file=table.path("licence_file"),
        exclude=table.words("exclude"),
    )
    if (origin == FOLDER) != (made.folder is not None):
        raise table.wrong("folder", 'stands with from = "folder", and only there')
    if (origin == HUB) != bool(made.repo):
        raise table.wrong("repo", 'stands with from = "hub", and only there')
    if origin == HUB and not REVISION.fullmatch(made.revision):
        raise table.wrong("revision", "must be a commit, 40 hex digits: what a branch means changes")
    if origin != HUB and made.revision:
        raise table.wrong("revision", 'stands with from = "hub", and only there')
    return made


def _goal(table: _Table) -> Goal:
    return Goal(
        preset=table.text("preset", "", re.compile(r"[a-z0-9-]*")),
        driver=table.text("driver", "", re.compile(r"[0-9.]*")),
        memory_gib=float(table.number("memory_gib", 4, 4096)),
    )


def _check(recipe: Recipe, path: Path) -> None:
    for what, names in (
        ("[[wheels]] folder", [each.folder for each in recipe.wheels]),
        ("[[weights]] name", [each.name for each in recipe.weights]),
    ):
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise CannotBuild(f"{path}: {what} {twice!r} stands there twice.")
    if len({each.python.rpartition(".")[0] for each in recipe.wheels}) > 1:
        raise CannotBuild(f"{path}: all [[wheels]] must be for one Python.")


class _Table:
    """A table whose keys are taken one by one; one that is left over is unknown."""

    def __init__(self, value: Any, name: str, place: int, text: str, path: Path) -> None:
        self.name = name
        self.place = place  # which of several tables of this name, from 0
        self.text_of_file = text
        self.path_of_file = path
        if not isinstance(value, dict):
            raise CannotBuild(f"{path}: {name} must be a table.")
        self.rest: dict[str, Any] = dict(value)

    def wrong(self, key: str, problem: str) -> CannotBuild:
        line = line_of(self.text_of_file, self.name, self.place, key)
        where = f"{self.path_of_file}, line {line}" if line else str(self.path_of_file)
        return CannotBuild(f"{where}: {self.name + '.' if self.name else ''}{key} {problem}.")

    def end(self) -> None:
        if self.rest:
            raise self.wrong(next(iter(self.rest)), "is not a key that is known here")

    def beside(self, word: str) -> Path:
        """A path that is relative to the file's folder."""
        return self.path_of_file.parent / Path(word).expanduser()

    def text(self, key: str, default: str, like: re.Pattern[str]) -> str:
        value = self.rest.pop(key, default)
        if not isinstance(value, str) or not like.fullmatch(value):
            raise self.wrong(key, "is missing" if value == "" else f"cannot be {value!r}")
        return value

    def choice(self, key: str, default: str, choices: list[str]) -> str:
        value = self.rest.pop(key, default)
        if value not in choices:
            raise self.wrong(key, f"must be one of {', '.join(choices)}")
        return str(value)

    def path(self, key: str) -> Path | None:
        value = self.rest.pop(key, "")
        if not isinstance(value, str):
            raise self.wrong(key, "must be a path")
        return self.beside(value) if value else None

    def number(self, key: str, default: int, most: int) -> int:
        value = self.rest.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise self.wrong(key, f"must be a number from 0 to {most}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.rest.pop(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def size(self, key: str, default: str) -> int:
        value = self.rest.pop(key, default)
        found = re.fullmatch(r"([1-9]\d{0,9})([KMG]?)", value) if isinstance(value, str) else None
        size = int(found[1]) * UNITS[found[2]] if found else 0
        if not 0 < size <= LARGEST_CHUNK:
            raise self.wrong(key, f"must be a size like 64M, {LARGEST_CHUNK >> 20}M at most")
        return size

    def words(self, key: str) -> tuple[str, ...]:
        value = self.rest.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
            raise self.wrong(key, "must be a list of texts")
        return tuple(value)

    def mapping(self, key: str) -> Mapping[str, str]:
        value = self.rest.pop(key, {})
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise self.wrong(key, "must be a table of texts")
        return value

    def maybe_table(self, key: str, read: Callable[[_Table], T]) -> T | None:
        if key not in self.rest:
            return None
        return self._one(key, 0, self.rest.pop(key), read)

    def tables(self, key: str, read: Callable[[_Table], T]) -> tuple[T, ...]:
        value = self.rest.pop(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, f"must be [[{key}]]")
        return tuple(self._one(key, place, each, read) for place, each in enumerate(value))

    def _one(self, key: str, place: int, value: Any, read: Callable[[_Table], T]) -> T:
        table = _Table(value, key, place, self.text_of_file, self.path_of_file)
        made = read(table)
        table.end()
        return made


def line_of(text: str, table: str, place: int, key: str) -> int:
    """The line, from 1, in which `key` stands in the `place`th table called `table`; its head where the key is absent;
    0 for nowhere. tomllib keeps no places."""
    here, seen, head = "", -1, 0
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]", line):
            here = found[1]
            if here == table:
                seen += 1
                head = number if seen == place else head
            if (not table and here == key) or here == f"{table}.{key}":
                return number
        elif here == table and seen in (place, -1) and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return head
