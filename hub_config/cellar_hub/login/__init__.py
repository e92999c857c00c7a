"""Who gets in, and that each attempt is in the audit."""

from .native import Login

__all__ = ["Login"]
