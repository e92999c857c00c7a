"""The database of the hub side: tables, their migrations, and one writer with group commit."""

from cellar_hub.store.claim import AlreadyRunning
from cellar_hub.store.engine import StoreDown
from cellar_hub.store.store import Store, after_commit, waiting_calls

__all__ = ["AlreadyRunning", "Store", "StoreDown", "after_commit", "waiting_calls"]
