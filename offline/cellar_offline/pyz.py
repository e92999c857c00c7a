"""cellar-offline.pyz: this package without `building`, as one file that a Python >= 3.9 runs.

The same sources give the same bytes, so that its hash can be compared by hand.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

SOURCE = Path(__file__).parent
LEFT_OUT = ("building", "__pycache__")
MAIN = """\
import sys
if sys.version_info < (3, 9):
    sys.exit("cellar-offline needs Python 3.9 or newer; this is %d.%d (%s). Is there a python3.9, python3.11, ...?"
             % (sys.version_info[0], sys.version_info[1], sys.executable))
from cellar_offline.program import run
run()
"""


def write(path: Path) -> None:
    """Make the zipapp, executable by itself."""
    sources = [each for each in sorted(SOURCE.rglob("*")) if each.is_file()]
    with path.open("wb") as out:
        out.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in sources:
                name = each.relative_to(SOURCE)
                if not set(name.parts) & set(LEFT_OUT):
                    _add(archive, f"cellar_offline/{name.as_posix()}", each.read_bytes())
            _add(archive, "__main__.py", MAIN.encode())
    path.chmod(0o755)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    member.external_attr = 0o644 << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(member, content)
