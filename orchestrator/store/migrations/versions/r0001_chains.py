"""Chains, steps, waiting rows and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the first four tables."""
    _chains()
    _steps()
    _waiting()
    _events()


def _chains() -> None:
    op.create_table(
        "chains",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("requestor", sa.String, nullable=False),
        sa.Column("backend", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_chains"),
    )
    op.create_index("ix_chains_created_at_id", "chains", ["created_at", "id"])


def _steps() -> None:
    op.create_table(
        "steps",
        sa.Column("chain_id", sa.String, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("session_type", sa.String, nullable=False),
        sa.Column("cause", sa.String, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("check_at", _TIME),
        sa.Column("in_flow", sa.Boolean, nullable=False),
        sa.Column("deadline", _TIME),
        sa.Column("forwarded_at", _TIME),
        sa.Column("completed_at", _TIME),
        sa.Column("live_at", _TIME),
        sa.Column("chained", sa.Boolean, nullable=False),
        sa.Column("announced", sa.Boolean, nullable=False),
        sa.Column("session_timeout_s", sa.BigInteger, nullable=False),
        sa.Column("lease_owner", sa.String),
        sa.Column("lease_until", _TIME),
        sa.Column("token_hash", sa.String),
        sa.Column("answer_hash", sa.String),
        sa.Column("final_status", sa.String),
        sa.Column("reason", sa.Text),
        sa.Column("sealed_request", sa.Text),
        sa.Column("sealed_prepared", sa.Text),
        sa.Column("sealed_package", sa.Text),
        sa.Column("sealed_token", sa.Text),
        sa.Column("sealed_result", sa.Text),
        sa.PrimaryKeyConstraint("chain_id", "step", "generation", name="pk_steps"),
        sa.ForeignKeyConstraint(["chain_id"], ["chains.id"], name="fk_steps_chain_id"),
    )
    _partial_index("steps", "check_at", "check_at IS NOT NULL")
    _partial_index("steps", "token_hash", "token_hash IS NOT NULL")


def _waiting() -> None:
    op.create_table(
        "waiting",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("chain_id", sa.String),
        sa.Column("endpoint", sa.String),
        sa.Column("lease_owner", sa.String),
        sa.Column("lease_until", _TIME),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("exchange", sa.String, nullable=False),
        sa.Column("routing_key", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("content_type", sa.String, nullable=False),
        sa.Column("correlation_id", sa.String),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_waiting"),
        sa.UniqueConstraint("id", name="uq_waiting_id"),
    )
    op.create_index(
        "ix_waiting_due_at_created_at_number",
        "waiting",
        ["due_at", "created_at", "number"],
    )
    _partial_index("waiting", "chain_id", "chain_id IS NOT NULL")


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("chain_id", sa.String, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("published_at", _TIME),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sa.UniqueConstraint("id", name="uq_events_id"),
        sa.UniqueConstraint("chain_id", "sequence", name="uq_events_chain_id_sequence"),
    )
    _partial_index("events", "number", "published_at IS NULL")


def _partial_index(table: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        f"ix_{table}_{column}",
        table,
        [column],
        postgresql_where=condition,
        sqlite_where=condition,
    )
