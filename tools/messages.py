"""The Korean catalogue of the lab extension: every sentence of the sources has a translation, and no other has one.

    python -m tools.messages             bring the catalogue in line with the sources; list what has no translation yet
    python -m tools.messages --check     change nothing; exit status 1 when the two differ
    python -m tools.messages --missing   print what is to be translated as JSON, to be filled in
    python -m tools.messages --merge F   take the translations of such a file

The catalogue is edited by hand: it is its own source. JupyterLab finds it by the entry point `jupyterlab.locale` and
serves it where a Korean language pack is installed. Titles and descriptions of settings are in it, too: `components/
schema.ts` words them in the browser, because JupyterLab 4.6 words schemas from language packs alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "labextension" / "src"
SCHEMAS = ROOT / "labextension" / "schema"
CATALOGUE = ROOT / "jupyter_ext" / "cellar_jupyter" / "locale" / "ko_KR" / "LC_MESSAGES" / "cellar.json"
HEADER = {"domain": "cellar", "language": "ko-KR", "plural_forms": "nplurals=1; plural=0;", "version": "cellar"}
CONTEXT = "\u0004"  # stands between the context and the message, as in .mo files

_CALL = re.compile(r"\.(__|_n|_p|_np|gettext|ngettext|pgettext|npgettext)\(")
_STRING = re.compile(r"""\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\$]|\\.)*)`)\s*""")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]+\}|.)", re.DOTALL)
_WITH_CONTEXT = {"_p", "_np", "pgettext", "npgettext"}
_PLURAL = {"_n", "_np", "ngettext", "npgettext"}


def messages_of(source: str) -> Iterator[str]:
    """The catalogue keys of a TypeScript source. ValueError for a message that is not written out."""
    for call in _CALL.finditer(source):
        first, at = _literal(source, call.end())
        if call.group(1) in _WITH_CONTEXT:
            message, at = _literal(source, at + 1)
            first = f"{first}{CONTEXT}{message}"
        if call.group(1) in _PLURAL:
            _literal(source, at + 1)  # a plural that is not written out would be found here
        yield first


def plurals() -> set[str]:
    """Keys asked for with a plural: JupyterLab ignores an entry of theirs that has not two forms, even in Korean."""
    calls = re.compile(r"\._n\(")
    found: set[str] = set()
    for path in [*SOURCES.rglob("*.ts"), *SOURCES.rglob("*.tsx")]:
        source = path.read_text("utf-8")
        if "__tests__" not in path.parts:
            found.update(_literal(source, call.end())[0] for call in calls.finditer(source))
    return found


def _literal(source: str, at: int) -> tuple[str, int]:
    """A string literal, or several with + between them; and where it ends."""
    pieces: list[str] = []
    while match := _STRING.match(source, at):
        pieces.append(_unescape(next(text for text in match.groups() if text is not None)))
        at = match.end()
        if source[at : at + 1] != "+":
            return "".join(pieces), at
        at += 1
    line = source.count("\n", 0, at) + 1
    raise ValueError(f"line {line}: a message must be a string literal: {source[at : at + 60]!r}")


def _unescape(text: str) -> str:
    named = {"n": "\n", "t": "\t", "\n": ""}

    def plain(match: re.Match[str]) -> str:
        what = match.group(1)
        return chr(int(what.strip("u{}"), 16)) if what[0] == "u" and len(what) > 1 else named.get(what, what)

    return _ESCAPE.sub(plain, text)


def schema_messages(schema: Any) -> Iterator[str]:
    """Titles and descriptions, in the context under which `components/schema.ts` looks them up."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in ("title", "description") and isinstance(value, str):
                yield f"schema{CONTEXT}{value}"
            else:
                yield from schema_messages(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from schema_messages(value)


def extract() -> list[str]:
    """Every key that the catalogue must have, sorted."""
    found: set[str] = set()
    for path in sorted([*SOURCES.rglob("*.ts"), *SOURCES.rglob("*.tsx")]):
        if "__tests__" in path.parts or ".spec." in path.name:
            continue
        try:
            found.update(messages_of(path.read_text("utf-8")))
        except ValueError as error:
            raise ValueError(f"{path.relative_to(ROOT)}, {error}") from None
    for path in sorted(SCHEMAS.glob("*.json")):
        schema = json.loads(path.read_text("utf-8"))
        if schema.get("properties"):  # without any, the settings editor does not show it
            found.update(schema_messages(schema))
    return sorted(found)


def read_catalogue() -> dict[str, list[str]]:
    if not CATALOGUE.is_file():
        return {}
    catalogue: dict[str, Any] = json.loads(CATALOGUE.read_text("utf-8"))
    catalogue.pop("", None)
    return catalogue


def write_catalogue(catalogue: dict[str, list[str]]) -> None:
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    several = plurals()
    forms = {key: [texts[0]] * 2 if key in several else texts for key, texts in catalogue.items()}
    whole = {"": HEADER, **dict(sorted(forms.items()))}
    CATALOGUE.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", "utf-8")


def compare(keys: list[str], catalogue: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """(keys without a translation, keys that no source has any more)"""
    missing = [key for key in keys if not any(catalogue.get(key, []))]
    return missing, sorted(set(catalogue) - set(keys))


def placeholders(text: str) -> list[str]:
    """%1, %2, ...: a translation must have the same ones."""
    return sorted(set(re.findall(r"%\d", text.rpartition(CONTEXT)[2])))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.messages")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--merge", type=Path)
    options = parser.parse_args(arguments)
    keys, catalogue = extract(), read_catalogue()
    if options.merge:
        translated: dict[str, str] = json.loads(options.merge.read_text("utf-8"))
        wrong = [key for key, text in translated.items() if not isinstance(text, str)]
        if wrong:
            raise SystemExit(f"a translation is one text, not a list: {wrong[0]!r}")
        catalogue.update({key: [text] for key, text in translated.items() if text})
    missing, obsolete = compare(keys, catalogue)
    if options.missing:
        print(json.dumps(dict.fromkeys(missing, ""), ensure_ascii=False, indent=1))
        return 0
    for key in missing:
        print(f"no translation: {key!r}")
    if options.check:
        for key in obsolete:
            print(f"in no source: {key!r}")
        return 1 if missing or obsolete else 0
    write_catalogue({key: catalogue[key] for key in keys if key in catalogue})
    print(f"{len(keys)} messages, {len(missing)} without a translation, {len(obsolete)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
