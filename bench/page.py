"""bench/RESULTS.md: a place for each section, which is written anew as soon as that section has been measured.

Each place begins with a comment that names it and says when, at which commit and on what it was measured, so that a
section measured alone, later or elsewhere leaves the others as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
CAUSES = Path(__file__).parent / "CAUSES.md"
HEAD = """# Results

Written by `make bench`, section by section as each ends (`python -m bench NAME` measures one); medians unless said
otherwise. *reach* is what the design asks.
"""
_MARK = re.compile(r"^<!-- section ([a-z-]+) -->$", re.MULTILINE)
_END = "<!-- causes -->"


def places(page: str) -> dict[str, str]:
    """The sections of a page by their names, without their marks."""
    found = list(_MARK.finditer(page.partition(_END)[0]))
    ends = [each.start() for each in found[1:]] + [len(page.partition(_END)[0])]
    return {mark[1]: page[mark.end() : end].strip() for mark, end in zip(found, ends, strict=True)}


def page_of(sections: Mapping[str, str], order: Iterable[str], causes: str) -> str:
    """In this order; one whose name is not in it (it was renamed, or is gone) is left out."""
    texts = [f"<!-- section {name} -->\n{sections[name].strip()}\n" for name in order if name in sections]
    return "\n".join([HEAD, *texts, f"{_END}\n{causes}" if causes else ""]).rstrip() + "\n"


def keep(name: str, text: str, measured: str, order: Iterable[str], path: Path = RESULTS) -> None:
    """Put one section in its place; the file is replaced in one step. `measured`: when, at which commit, on what."""
    title, _, rest = text.strip().partition("\n")
    sections = places(path.read_text()) if path.is_file() else {}
    sections[name] = f"{title}\n\n_{measured}_\n{rest}"
    causes = CAUSES.read_text() if CAUSES.is_file() else ""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(page_of(sections, order, causes))
    unfinished.replace(path)
