"""Who asked what model when, and at what cost; never what was asked. Append-only, chained, verifiable."""

from cellar_hub.audit.chain import Head
from cellar_hub.audit.entries import Search, find_entries
from cellar_hub.audit.export import export
from cellar_hub.audit.heads import Heads
from cellar_hub.audit.keys import Keys
from cellar_hub.audit.log import AuditLog
from cellar_hub.audit.retention import retain
from cellar_hub.audit.rows import Event, Interrupted, Opened, Row, Settled
from cellar_hub.audit.verify import Report, verify

__all__ = [
    "AuditLog",
    "Event",
    "Head",
    "Heads",
    "Interrupted",
    "Keys",
    "Opened",
    "Report",
    "Row",
    "Search",
    "Settled",
    "export",
    "find_entries",
    "retain",
    "verify",
]
