"""What packages say of themselves: name, version and licence. Pure.

Sources: PEP 566 and 639 (METADATA of Python's), dpkg's status file, package.json of npm's.
"""

from __future__ import annotations

import email.parser
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNKNOWN = ""
OWN_TEXT = "a text of its own"
PYPI, DEB, NPM = "pypi", "deb", "npm"
LONGEST = 120  # of a licence's name: some put the whole text there


@dataclass(frozen=True, order=True)
class Package:
    """`licence` is an SPDX expression where the package has one, else its own words; "" when it says nothing."""

    kind: str
    name: str
    version: str
    licence: str

    @property
    def purl(self) -> str:
        """Package URL, https://github.com/package-url/purl-spec."""
        name = re.sub(r"[-_.]+", "-", self.name).lower() if self.kind == PYPI else self.name.replace("@", "%40")
        place = "deb/debian" if self.kind == DEB else self.kind
        version = re.sub(r"[^A-Za-z0-9._~-]", lambda found: f"%{ord(found[0]):02X}", self.version)
        return f"pkg:{place}/{name}@{version}"


def of_metadata(text: str) -> Package:
    """Of a Python distribution, from its METADATA. ValueError when it is none."""
    fields = email.parser.HeaderParser().parsestr(text)
    name, version = fields["Name"], fields["Version"]
    if not name or not version:
        raise ValueError("METADATA without name or version")
    return Package(PYPI, _line(name), _line(version), _licence(fields))


def of_wheel(path: Path) -> Package:
    """Of a wheel's own METADATA. ValueError when it is no wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            if len(names) != 1:
                raise ValueError("no METADATA, or more than one")
            return of_metadata(archive.read(names[0]).decode("utf-8", errors="replace"))
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None


def of_dpkg(status: str) -> list[Package]:
    """Everything that is installed, from var/lib/dpkg/status. Its licences stand elsewhere, in free text."""
    found = []
    for paragraph in re.split(r"\n\s*\n", status):
        fields = dict(re.findall(r"(?m)^(Package|Version|Status): (.*)$", paragraph))
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            found.append(Package(DEB, _line(fields["Package"]), _line(fields.get("Version", "")), UNKNOWN))
    return found


def of_npm(text: str) -> Package | None:
    """From package.json; None for one that is no package of its own."""
    try:
        table: dict[str, Any] = json.loads(text)
        name, version, licence = table["name"], table["version"], table.get("license", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if isinstance(licence, dict):
        licence = licence.get("type", "")
    if not isinstance(name, str) or not isinstance(version, str):
        return None
    return Package(NPM, _line(name), _line(version), _line(licence) if isinstance(licence, str) else UNKNOWN)


def _licence(fields: Any) -> str:
    """The expression, else the field where it is a name and not a whole text, else the classifiers."""
    if expression := fields["License-Expression"]:
        return _line(expression)
    own = str(fields["License"] or "").strip()
    if 0 < len(own) <= 60 and "\n" not in own and own.upper() != "UNKNOWN":
        return _line(own)
    classifiers = [each for each in fields.get_all("Classifier", []) if each.startswith("License ::")]
    told = [last for each in classifiers if (last := each.rpartition("::")[2].strip()) != "OSI Approved"]
    return _line(" and ".join(told)) or (OWN_TEXT if len(own) > 60 else UNKNOWN)


def _line(text: str) -> str:
    """One line without anything that could be taken for more than text."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f\u0085\u2028\u2029]", " ", text).split())[:LONGEST]
