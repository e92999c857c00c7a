"""Quotas in tokens of a calendar day and month. Pure."""

from __future__ import annotations

import msgspec


class Quota(msgspec.Struct, frozen=True):
    """Tokens, prompt and completion together; None: no limit."""

    per_day: int | None = None
    per_month: int | None = None
