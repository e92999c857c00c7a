"""The pure core of Cellar: standard library, httpx and msgspec; no tornado, Jupyter, IPython, starlette or Docker."""
