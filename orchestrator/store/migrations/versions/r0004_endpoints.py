"""Endpoints: breakers and pauses; parked rows are found by them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create `endpoints`; parked rows leave the index by time for one by endpoint."""
    op.create_table(
        "endpoints",
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("release_at", _TIME, nullable=False),
        sa.Column("trips", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("probe", sa.String),
        sa.Column("paused_at", _TIME),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("origin", name="pk_endpoints"),
    )
    op.drop_index("ix_waiting_due_at_created_at_number", "waiting")
    _waiting_index("due_at", "kind != 'parked'")
    _waiting_index("endpoint", "kind = 'parked'")


def _waiting_index(first: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        f"ix_waiting_{first}_created_at_number",
        "waiting",
        [first, "created_at", "number"],
        postgresql_where=condition,
        sqlite_where=condition,
    )
