"""The proof that a loaded stack asks nobody outside. Part of the zipapp: Python >= 3.9, the standard library alone."""
