"""The target's side is one file of the standard library that Python 3.9 runs."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cellar_offline import program, pyz

from tests.offline.bundles import Maker
from tests.offline.conftest import OFFLINE

PACKAGE = OFFLINE / "cellar_offline"
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if "building" not in path.relative_to(PACKAGE).parts]
OLD_STANDARD_LIBRARY = sys.stdlib_module_names - {"tomllib"}  # since 3.11; what else is new since 3.9 is in no source
NEW_NAMES = {
    "datetime": {"UTC"},
    "itertools": {"pairwise", "batched"},
    "enum": {"StrEnum"},
    "typing": {"Self", "TypeAlias", "ParamSpec", "TypeGuard", "Never", "assert_never", "override", "Concatenate"},
    "contextlib": {"chdir", "aclosing"},
    "types": {"NoneType", "EllipsisType"},
    "hashlib": {"file_digest"},
}
"""What came to these modules after 3.9."""


def old_pythons() -> list[str]:
    """Pythons from 3.9 on that are here and not the one that runs this."""
    found = [shutil.which(f"python3.{minor}") for minor in (9, 10)]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found += [str(each) for minor in (9, 10) for each in pyenv.glob(f"3.{minor}.*/bin/python")]
    return [each for each in found if each and _runs(each)]


def _runs(python: str) -> bool:
    return subprocess.run([python, "-c", "import ssl"], capture_output=True).returncode == 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_source_is_python_3_9_and_imports_the_standard_library_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    assert "from __future__ import annotations" in path.read_text() or len(tree.body) < 4
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Match), f"line {node.lineno}: match is 3.10"
        assert not (isinstance(node, ast.keyword) and node.arg in ("slots", "kw_only") and node.value is not None)
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
            new = NEW_NAMES.get(node.module or "", set()) & {alias.name for alias in node.names}
            assert not new, f"line {node.lineno}: {new} is newer than 3.9"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.attr not in NEW_NAMES.get(node.value.id, set()), f"line {node.lineno}: newer than 3.9"
        for name in names:
            assert name.partition(".")[0] in {*OLD_STANDARD_LIBRARY, "cellar_offline"}, f"{name} is not in it"
            assert not name.startswith("cellar_offline.building"), "the target has no building side"


def test_the_same_sources_make_the_same_file(tmp_path: Path) -> None:
    pyz.write(tmp_path / "a.pyz")
    pyz.write(tmp_path / "b.pyz")
    assert (tmp_path / "a.pyz").read_bytes() == (tmp_path / "b.pyz").read_bytes()


@pytest.mark.parametrize("python", [sys.executable, *old_pythons()])
def test_one_file_verifies_and_loads_with_nothing_installed(
    maker: Maker, medium: Path, root: Path, python: str
) -> None:
    pyz.write(medium / "cellar-offline.pyz")
    maker.make(medium, {"cellar-offline.pyz": (medium / "cellar-offline.pyz").read_bytes()})
    env = {"PATH": os.environ["PATH"], "HOME": str(medium)}
    for command in ("verify", "load"):
        words = [command, "--from", str(medium), "--key", str(maker.public), "--root", str(root)]
        line = [python, "-I", "-S", "-W", "error", str(medium / "cellar-offline.pyz"), *words]
        done = subprocess.run(line, env=env, cwd=medium, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert (root / "current" / "cellar-offline.pyz").is_file()


def test_an_older_python_is_told_so_by_name(tmp_path: Path) -> None:
    """What is run first must be read by any Python 3, and end there."""
    tree = ast.parse(pyz.MAIN, feature_version=(3, 4))
    assert not any(isinstance(node, (ast.JoinedStr, ast.NamedExpr)) for node in ast.walk(tree))
    trial = pyz.MAIN.replace("sys.version_info < (3, 9)", "sys.version_info < (9, 9)")
    done = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True)
    assert (done.returncode, "needs Python 3.9 or newer" in done.stderr) == (1, True)


def test_what_the_manual_tells_a_person_to_type_can_be_typed() -> None:
    text = (OFFLINE.parent / "docs" / "offline.md").read_text()
    typed = re.findall(r"^    python3 cellar-offline\.pyz ([a-z]+)(.*?)(?:  +#.*)?$", text, re.MULTILINE)
    commands = {command for command, _ in typed}
    assert {"verify", "preflight", "load", "prove", "up", "doctor"} <= commands
    for command, options in typed:
        words = [command, *shlex.split(options.replace("...", "/media/disk"))]
        if "--help" not in words:
            program.parser().parse_args(words)
    table = text.split("| does |", 1)[1].split("\n", 1)[0]
    assert set(re.findall(r"`([a-z]+)`", table)) <= program_commands()


def program_commands() -> set[str]:
    """Every command that the program has here."""
    actions = program.parser()._subparsers._group_actions  # type: ignore[union-attr]
    return {str(name) for action in actions for name in action.choices or ()}
