"""How many pages of one user read events at a time.

A browser keeps six HTTP/1.1 connections to a server for all its windows together, and an events response holds one
for as long as an answer is written. Six windows that read side by side would leave none: no notebook could be saved,
and not even Stop would get through. So a few read, and a further page is sent away and asks for its turns now and then.
Only the server knows of all windows: the pages of a plain HTTP origin have no locks in common.
"""

from __future__ import annotations

from collections.abc import Callable

MOST = 4
"""Two connections stay free for everything else."""

End = Callable[[], None]


class Readers:
    def __init__(self) -> None:
        self._pages: dict[str, dict[str, End]] = {}  # user -> page -> what ends its response

    def enter(self, user: str, page: str, end: End) -> bool:
        """False: no room. A page that comes again has left its response, whether or not its line is known to be dead:
        the earlier one is ended."""
        pages = self._pages.setdefault(user, {})
        if page in pages:
            pages[page]()
        elif len(pages) >= MOST:
            return False
        pages[page] = end
        return True

    def leave(self, user: str, page: str, end: End) -> None:
        pages = self._pages.get(user, {})
        if pages.get(page) == end:
            del pages[page]
            if not pages:
                del self._pages[user]
