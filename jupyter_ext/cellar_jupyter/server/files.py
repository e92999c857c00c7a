"""Reading the workspace for a question: files, folders, notebooks and rules, never outside the server's root.

Everything here blocks on the disk and is run in a thread. A path comes from a browser: it is resolved (links too) and
must end inside the root; hidden files follow the server's own `allow_hidden`. What cannot be read raises `Unreadable`,
`NotFound` or `OutsideWorkspace`; a question that carries such a file is still sent, with a notice.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from cellar import wire
from cellar.context import Folder, Notice, Rule, reason_of
from cellar.errors import CellarError, NotFound, OutsideWorkspace, TooLarge, Unreadable

from .notebooks import notebook_part
from .pictures import HEAD, MAX_PICTURE_BYTES, is_other_picture, mime_of

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MAX_FILE_BYTES = 2 * 1024 * 1024
"""Of a longer file the first and the last half of this are read: no model reads more."""
MAX_NOTEBOOK_BYTES = 32 * 1024 * 1024
MAX_RULE_BYTES = 64 * 1024
MAX_RULES = 20
FOLDER_ENTRIES = 500
FOLDER_FILES = 40
FOLDER_FILE_BYTES = 32 * 1024
MAX_DEPTH = 60  # folders inside of folders
MAX_STARS = 3  # in one name of a `.gitignore` line
NEVER = frozenset({".git", "node_modules", "__pycache__", ".ipynb_checkpoints", ".venv", ".mypy_cache"})


class Gathered(msgspec.Struct, frozen=True):
    """The parts of a question with their files read."""

    parts: tuple[wire.ContextPart, ...]
    folders: dict[str, Folder]
    notices: tuple[Notice, ...]


class Files:
    """The workspace below `root`, an absolute directory."""

    def __init__(self, root: str, allow_hidden: bool = False) -> None:
        self.root = Path(os.path.realpath(root))
        self.allow_hidden = allow_hidden

    def resolve(self, path: str) -> Path:
        """The file that `path` (relative to the root, `/` between names) means."""
        if "\0" in path:
            raise OutsideWorkspace("A path with a NUL character")
        relative = path.removeprefix("RTC:").lstrip("/").replace("\\", "/") if os.sep == "\\" else path
        relative = relative.removeprefix("RTC:").lstrip("/")
        resolved = Path(os.path.realpath(self.root / relative))
        if resolved != self.root and self.root not in resolved.parents:
            raise OutsideWorkspace("The path leads out of the workspace")
        if not self.allow_hidden and (self._hidden(relative) or self._hidden(str(resolved.relative_to(self.root)))):
            raise NotFound("No such file in the workspace")
        return resolved

    @staticmethod
    def _hidden(relative: str) -> bool:
        return any(name.startswith(".") and name not in (".", "..") for name in relative.split("/"))

    def read(self, path: str, limit: int) -> str:
        """A text file's text."""
        return decode(self.read_bytes(path, limit))

    def read_for_model(self, path: str) -> tuple[str, int]:
        """A text file's text, and how many bytes of its middle were not read."""
        head, tail, left_out = _read_edges(self.resolve(path), MAX_FILE_BYTES)
        if not left_out:
            return decode(head), 0
        size = len(head) + left_out + len(tail)
        codec = _UTF_16.get(head[:2])
        if codec:
            before, after, kept = _wide_lines(head, tail[size % 2 :], codec)
        else:
            head, tail = head[: head.rfind(b"\n") + 1] or head, tail[tail.find(b"\n") + 1 :]
            before, after, kept = decode(head, whole=False), decode(tail, whole=False), len(head) + len(tail)
        left_out = size - kept
        return f"{before}\n[{left_out:,} bytes of the file were left out here]\n{after}", left_out

    def read_bytes(self, path: str, limit: int) -> bytes:
        return _read_regular(self.resolve(path), limit)

    # -- the parts of a question --------------------------------------------------------------------------------------

    def gather(self, parts: Sequence[wire.ContextPart]) -> Gathered:
        """Read the files and folders among `parts`; what cannot be read becomes a notice."""
        found: list[wire.ContextPart] = []
        folders: dict[str, Folder] = {}
        notices: list[Notice] = []
        for part in parts:
            if not isinstance(part, wire.FilePart | wire.FolderPart):
                found.append(part)
                continue
            try:
                if isinstance(part, wire.FilePart):
                    found.append(self.read_part(part))
                    continue
                folders[part.path] = self.folder(part.path)
            except CellarError as error:
                kind = "folder" if isinstance(part, wire.FolderPart) else "file"
                notices.append(Notice(path=part.path, reason=reason_of(error), kind=kind))
            found.append(part)
        return Gathered(tuple(found), folders, tuple(notices))

    def read_part(self, part: wire.FilePart) -> wire.ContextPart:
        """The file with its text; a notebook as cells, a picture as one."""
        if part.text is not None and not part.path.endswith(".ipynb"):
            return part
        if part.path.endswith(".ipynb"):
            if part.text is not None:
                return notebook_part(part.path, part.text.encode(), auto=part.auto)
            return notebook_part(part.path, self.read_bytes(part.path, MAX_NOTEBOOK_BYTES), auto=part.auto)
        try:
            text, cut = self.read_for_model(part.path)
        except Unreadable:
            picture = self._picture(part)
            if picture is None:
                raise
            return picture
        return msgspec.structs.replace(part, text=text, cut=cut)

    def _picture(self, part: wire.FilePart) -> wire.ImagePart | None:
        """None: the file is no picture. Raises `Unreadable` for one that no model is sent."""
        with _opened(self.resolve(part.path)) as file:
            head = file.read(HEAD)
        mime = mime_of(head)
        if mime is None:
            if is_other_picture(head):
                raise Unreadable("Not a picture that can be sent", detail={"why": "picture_kind"})
            return None
        data = base64.b64encode(self.read_bytes(part.path, MAX_PICTURE_BYTES)).decode()
        name = part.path.rpartition("/")[2]
        return wire.ImagePart(name=name, image=wire.Image(mime=mime, data=data), auto=part.auto)

    def folder(self, path: str) -> Folder:
        """Names below a folder, and its small text files, in a stable order."""
        top = self.resolve(path)
        if not top.is_dir():
            raise NotFound("No such folder in the workspace")
        entries: list[str] = []
        files: list[wire.FilePart] = []
        truncated = False
        for relative, is_folder, size in self.walk(top):
            if len(entries) >= FOLDER_ENTRIES:
                truncated = True
                break
            entries.append(relative + ("/" if is_folder else ""))
            if not is_folder and size <= FOLDER_FILE_BYTES and len(files) < FOLDER_FILES:
                text = _small_text(top / relative)
                if text is not None:
                    files.append(wire.FilePart(path=f"{path.rstrip('/')}/{relative}", text=text))
        return Folder(path=path, entries=tuple(entries), files=tuple(files), truncated=truncated)

    def walk(self, top: Path) -> Iterator[tuple[str, bool, int]]:
        """(name relative to `top`, is a folder, bytes), folders before what is in them; `.gitignore` honoured; links
        that lead to folders are not followed."""
        yield from _walk(top, top, self._rules_above(top), self.allow_hidden)

    def _rules_above(self, top: Path) -> tuple[_Ignore, ...]:
        chain = [
            folder for folder in (*reversed(top.parents), top) if folder == self.root or self.root in folder.parents
        ]
        return tuple(rule for folder in chain[:-1] if (rule := _Ignore.read(folder)) is not None)

    # -- rules --------------------------------------------------------------------------------------------------------

    def rules(self) -> tuple[Rule, ...]:
        """AGENTS.md and .cellar/rules/*.md of the root, by name."""
        paths = [self.root / "AGENTS.md"]
        try:
            paths += sorted((self.root / ".cellar" / "rules").glob("*.md"))[:MAX_RULES]
        except OSError:
            pass
        found = []
        for path in paths:
            real = Path(os.path.realpath(path))
            if self.root not in real.parents:
                continue
            try:
                text = decode(_read_regular(real, MAX_RULE_BYTES))
            except CellarError:
                continue
            if text.strip():
                found.append(Rule(path=path.relative_to(self.root).as_posix(), text=text))
        return tuple(found)


class _Ignore:
    """One `.gitignore`, for paths below its folder."""

    def __init__(self, folder: Path, spec: GitIgnoreSpec) -> None:
        self.folder = folder
        self.spec = spec

    @classmethod
    def read(cls, folder: Path) -> _Ignore | None:
        path = folder / ".gitignore"
        try:
            if not path.is_file():
                return None
            lines = decode(_read_regular(path, MAX_RULE_BYTES)).splitlines()
        except (OSError, CellarError):
            return None
        return cls(folder, _spec(lines))

    def says(self, path: Path, is_folder: bool) -> bool | None:
        """True: ignored; False: taken back by a `!` line; None: not named here."""
        relative = path.relative_to(self.folder).as_posix() + ("/" if is_folder else "")
        return self.spec.check_file(relative).include


def _spec(lines: Iterable[str]) -> GitIgnoreSpec:
    """The lines that are patterns. A line that is none is passed over (as git does), and so is one with so many stars
    in one name that the regular expression made of it could take seconds for a name that it does not fit."""
    from pathspec import GitIgnoreSpec

    good: list[str] = []
    for line in lines:
        names = line.split("/")
        if names.count("**") > MAX_STARS or any(len(re.findall(r"\*+", name)) > MAX_STARS for name in names):
            continue
        with contextlib.suppress(ValueError, re.error):
            GitIgnoreSpec.from_lines([line])
            good.append(line)
    return GitIgnoreSpec.from_lines(good)


def _ignored(path: Path, is_folder: bool, rules: Iterable[_Ignore]) -> bool:
    verdict = False
    for rule in rules:
        said = rule.says(path, is_folder)
        if said is not None:
            verdict = said
    return verdict


def _walk(
    top: Path, folder: Path, rules: tuple[_Ignore, ...], hidden: bool, depth: int = MAX_DEPTH
) -> Iterator[tuple[str, bool, int]]:
    own = _Ignore.read(folder)
    if own is not None:
        rules = (*rules, own)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name in NEVER or (entry.name.startswith(".") and not hidden):
            continue
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.is_file(follow_symlinks=False):
                continue
            size = entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
        path = Path(entry.path)
        if _ignored(path, is_folder, rules):
            continue
        yield path.relative_to(top).as_posix(), is_folder, size
        if is_folder and depth:
            yield from _walk(top, path, rules, hidden, depth - 1)


def _read_regular(path: Path, limit: int) -> bytes:
    """A regular file's bytes. Raises `TooLarge`."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_large(size, limit)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large(len(data), limit)  # it grew meanwhile
    return data


def _read_edges(path: Path, limit: int) -> tuple[bytes, bytes, int]:
    """A regular file's bytes; of one longer than `limit` its head, its tail and the number of bytes between them."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= limit:
            return file.read(limit), b"", 0
        head = file.read(limit // 2)
        file.seek(size - limit // 2)
        return head, file.read(limit // 2), size - limit


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, opened without blocking, so that a pipe in the workspace hangs nobody."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise NotFound("No such file in the workspace") from None
    except OSError as error:
        why = "no_permission" if isinstance(error, PermissionError) else "unreadable"
        raise Unreadable(f"The file cannot be read: {error.strerror}", detail={"why": why}) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable("Not a file", detail={"why": "not_a_file"})
        with os.fdopen(os.dup(fd), "rb") as file:
            yield file
    finally:
        os.close(fd)


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(f"The file has {size:,} bytes; at most {limit:,} are read", detail={"size": size, "limit": limit})


_BINARY = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")
_EDGE = 4  # bytes of the longest character
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def decode(data: bytes, whole: bool = True) -> str:
    """A file's text: UTF-8 (a BOM is taken off), UTF-16 with a BOM, Korean (CP949) or Western (CP1252).

    CP949 is strict enough to be tried first: a Western accented letter followed by a plain one is no character of it.
    `whole=False`: the data may begin or end inside of a character; UTF-16 may always end so, as a program that is just
    writing it leaves half a unit or half a pair there. Raises `Unreadable` for what is no text.
    """
    ends = [(0, 0)] if whole else [(begin, end) for begin in range(_EDGE) for end in range(_EDGE)]
    if data[:2] in _UTF_16:
        codecs, ends = ["utf-16"], [(0, len(data) % 2), (0, len(data) % 2 + 2)]
    else:
        if _BINARY.search(data, 0, 8192):
            raise Unreadable("Binary file", detail={"why": "binary"})
        codecs = ["utf-8-sig", "cp949", "cp1252"]
    for codec in codecs:
        for begin, end in ends:
            with contextlib.suppress(UnicodeDecodeError):
                return data[begin : len(data) - end].decode(codec)
    raise Unreadable("Not text in a known encoding", detail={"why": "encoding"})


def _wide_lines(head: bytes, tail: bytes, codec: str) -> tuple[str, str, int]:
    """Head and tail of a long UTF-16 file from line to line, and how many bytes they are. `tail` begins at a code unit;
    either may be cut inside of a surrogate pair, and a file that is written just now may end with half a unit."""
    kept = []
    for data in (head, tail[: len(tail) // 2 * 2]):
        for begin, end in ((0, 0), (0, 2), (2, 0), (2, 2)):
            with contextlib.suppress(UnicodeDecodeError):
                kept.append(data[begin : len(data) - end].decode(codec))
                break
        else:
            raise Unreadable("Not text in a known encoding", detail={"why": "encoding"})
    before, after = kept[0][: kept[0].rfind("\n") + 1] or kept[0], kept[1][kept[1].find("\n") + 1 :]
    return before.removeprefix("\ufeff"), after, len((before + after).encode(codec))


def _small_text(path: Path) -> str | None:
    try:
        return decode(_read_regular(path, FOLDER_FILE_BYTES))
    except CellarError:
        return None
