"""Who gets in, and that each attempt is in the audit."""

from .entrance import Login
from .native import LocalLogin

__all__ = ["LocalLogin", "Login"]
