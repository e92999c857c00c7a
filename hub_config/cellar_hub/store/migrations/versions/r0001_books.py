"""The audit, its seals and its triggers; usage and reservations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_audit()
    _create_usage()
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_postgresql()
    else:
        _refuse_changes_sqlite()


def _create_audit() -> None:
    op.create_table(
        "cellar_audit",
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("row_type", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("user_name", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("mac", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", name="pk_cellar_audit"),
    )
    entries = "row_type IN ('opened', 'event')"
    _index("ix_cellar_audit_at", ["at"], entries)
    _index("ix_cellar_audit_user", ["user_name", "at"], entries)
    _index("ix_cellar_audit_event", ["at"], "row_type = 'event'")
    _index("ix_cellar_audit_subject", ["subject", "at"], "row_type = 'event'")
    _index("ix_cellar_audit_model", ["model", "at"], "row_type = 'opened'")
    _index("ix_cellar_audit_request", ["request_id"], "request_id IS NOT NULL")
    op.create_table(
        "cellar_audit_seal",
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("mac", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("chain", "first_seq", name="pk_cellar_audit_seal"),
    )
    op.create_table(
        "cellar_audit_open",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("chain", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_cellar_audit_open"),
    )
    op.create_index("ix_cellar_audit_open_chain", "cellar_audit_open", ["chain"])


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "cellar_audit", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _create_usage() -> None:
    op.create_table(
        "cellar_usage",
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("prompt", sa.BigInteger, nullable=False),
        sa.Column("completion", sa.BigInteger, nullable=False),
        sa.Column("cached", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_name", "day", "model", name="pk_cellar_usage"),
    )
    op.create_index("ix_cellar_usage_day", "cellar_usage", ["day"])
    op.create_table(
        "cellar_reservation",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_cellar_reservation"),
    )
    for column in ("user_name", "owner", "expires_at"):
        op.create_index(f"ix_cellar_reservation_{column}", "cellar_reservation", [column])
    op.create_table(
        "cellar_settled",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_cellar_settled"),
    )
    op.create_index("ix_cellar_settled_at", "cellar_settled", ["at"])


# A row of the audit may be deleted only when a seal covers it; a seal never, and nothing is ever changed.
SEALED = """EXISTS (SELECT 1 FROM cellar_audit_seal AS seal
    WHERE seal.chain = OLD.chain AND OLD.seq BETWEEN seal.first_seq AND seal.last_seq)"""


def _refuse_changes_sqlite() -> None:
    for table, verb, unless in (
        ("cellar_audit", "UPDATE", ""),
        ("cellar_audit", "DELETE", f"WHEN NOT {SEALED}"),
        ("cellar_audit_seal", "UPDATE", ""),
        ("cellar_audit_seal", "DELETE", ""),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} FOR EACH ROW {unless} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _refuse_changes_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION cellar_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    op.execute(
        "CREATE FUNCTION cellar_refuse_unsealed_delete() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {SEALED} THEN RETURN OLD; END IF; RAISE EXCEPTION 'cellar_audit is append-only'; END $$"
    )
    for table, verb, each, function in (
        ("cellar_audit", "UPDATE", "ROW", "cellar_refuse_change"),
        ("cellar_audit", "DELETE", "ROW", "cellar_refuse_unsealed_delete"),
        ("cellar_audit", "TRUNCATE", "STATEMENT", "cellar_refuse_change"),
        ("cellar_audit_seal", "UPDATE", "ROW", "cellar_refuse_change"),
        ("cellar_audit_seal", "DELETE", "ROW", "cellar_refuse_change"),
        ("cellar_audit_seal", "TRUNCATE", "STATEMENT", "cellar_refuse_change"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {function}()"
        )
