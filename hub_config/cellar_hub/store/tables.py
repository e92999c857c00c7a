"""The tables as they are today. `migrations/versions` is how a database gets there; a test compares the two.

Names begin with `cellar_`, also the constraints', so that nothing of another program in the same database is meant.
Times are seconds of the epoch, UTC. The audit's tables refuse UPDATE and DELETE by triggers (revision 0001).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Double, Index, MetaData, Table, Text, text

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"},
)

# --- the audit: one row of a chain. `record` is the row's canonical JSON, the bytes that the MAC is of; the columns
# between `seq` and `record` repeat what is searched for, and `verify` compares them with it.
audit = Table(
    "cellar_audit",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("row_type", Text, nullable=False),  # opened, settled, event, interrupted
    Column("request_id", Text),
    Column("user_name", Text),  # of an event: who acted
    Column("subject", Text),  # of an event: on whom
    Column("model", Text),
    Column("record", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("mac", Text, nullable=False),
)
# What the admin's page and the export walk through, newest or oldest first: requests by their `opened`, and events.
# Queries repeat these conditions as they stand here, without parameters, or SQLite would not use the partial index.
is_entry = text("row_type IN ('opened', 'event')")
is_event = text("row_type = 'event'")
is_opened = text("row_type = 'opened'")
for _name, _columns, _where in (
    ("at", (audit.c.at,), is_entry),
    ("user", (audit.c.user_name, audit.c.at), is_entry),
    ("event", (audit.c.at,), is_event),
    ("subject", (audit.c.subject, audit.c.at), is_event),
    ("model", (audit.c.model, audit.c.at), is_opened),
    ("request", (audit.c.request_id,), text("request_id IS NOT NULL")),
):
    Index(f"ix_cellar_audit_{_name}", *_columns, sqlite_where=_where, postgresql_where=_where)

# What retention has deleted: a signed statement for each deleted segment. The triggers let no other row be deleted.
audit_seal = Table(
    "cellar_audit_seal",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("first_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("mac", Text, nullable=False),
)

# Requests that are `opened` and not yet `settled`: a work list for the next start, no part of the audit itself.
audit_open = Table(
    "cellar_audit_open",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("chain", Text, nullable=False, index=True),
)

# --- usage
usage = Table(
    "cellar_usage",
    metadata,
    Column("user_name", Text, primary_key=True),
    Column("day", Date, primary_key=True),  # in the site's time zone
    Column("model", Text, primary_key=True),
    Column("prompt", BigInteger, nullable=False),  # tokens
    Column("completion", BigInteger, nullable=False),  # tokens
    Column("cached", BigInteger, nullable=False),  # tokens of the prompt that the model server had in its cache
    Column("requests", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),  # requests whose tokens the model server did not tell
    Index("ix_cellar_usage_day", "day"),
)

reservation = Table(
    "cellar_reservation",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("user_name", Text, nullable=False, index=True),
    Column("model", Text, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("owner", Text, nullable=False, index=True),  # the process that answers for it
    Column("expires_at", Double, nullable=False, index=True),
)

# Requests whose use has been added, so that adding it again does nothing; kept for a day.
settled = Table(
    "cellar_settled",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at", Double, nullable=False, index=True),
)
