"""How a defect of ours is logged."""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """Type and place of an error, without its text, which may quote a question."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
    return f"{type(error).__name__} at {where}"
