"""`python -m cellar_offline`."""

from cellar_offline.program import run

run()
