"""Cellar in Jupyter: the extension points, and nothing heavy at import."""
