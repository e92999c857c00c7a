"""What `cellar-hub check` asks, from each service's place: do things that belong together work together?

A check is a function that returns what it found, or raises `Failed` with what is wrong and what helps. `places.py` says
which ones are asked where; the others are what they ask: `answers.py` of servers, `clocks.py`, `databases.py`,
`engine.py` of Docker, `logins.py`, `shared.py` of Redis, `streams.py`, `versions.py`.
"""

from .findings import Check, Failed

__all__ = ["Check", "Failed"]
