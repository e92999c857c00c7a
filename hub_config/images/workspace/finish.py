"""Runs once while the workspace image is built: what the installed packages must be told."""

import re
import shutil
import sysconfig
from pathlib import Path

SITE = Path(sysconfig.get_paths()["purelib"])
SCRIPTS = Path(sysconfig.get_paths()["scripts"])

# The server itself never imports what a user installed in the home directory (-s): a broken package there must not
# keep a workspace from starting. Kernels do import it.
for name in ("jupyterhub-singleuser", "jupyter-labhub", "jupyter-lab"):
    script = SCRIPTS / name
    first, rest = script.read_text().split("\n", 1)
    script.write_text(f"{first} -s\n{rest}")

# Korean labels in plots: what the first family lacks is taken from the next one.
settings = SITE / "matplotlib" / "mpl-data" / "matplotlibrc"
text, count = re.subn(r"(?m)^#?font\.family:.*$", "font.family: sans-serif, NanumGothic", settings.read_text())
assert count == 1
settings.write_text(text)

# Tests of packages are a tenth of the image and nobody runs them here.
for package in ("numpy", "pandas", "pyarrow", "matplotlib", "sklearn", "scipy"):
    for tests in (SITE / package).rglob("tests"):
        shutil.rmtree(tests)
