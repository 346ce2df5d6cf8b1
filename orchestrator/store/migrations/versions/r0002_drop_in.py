"""Idempotency keys of requestors, and which chains' secrets were deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add three columns to `chains`, all empty at first, and their indexes."""
    op.add_column("chains", sa.Column("idempotency", sa.String))
    op.add_column("chains", sa.Column("body_hash", sa.String))
    op.add_column("chains", sa.Column("purged_at", _TIME))
    op.create_index("ix_chains_idempotency", "chains", ["idempotency"], unique=True)
    unpurged = sa.text("purged_at IS NULL")
    op.create_index(
        "ix_chains_ended_at",
        "chains",
        ["ended_at"],
        postgresql_where=unpurged,
        sqlite_where=unpurged,
    )
