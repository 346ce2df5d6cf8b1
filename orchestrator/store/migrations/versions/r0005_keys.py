"""When sealing keys were used last; ended chains are found by their requestor."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create `sealing_keys`; the index of chains to be purged begins with whose they are.

    A key that was used before has no row until a process starts with it, and can only be
    retired a whole lifetime after that.
    """
    op.create_table(
        "sealing_keys",
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("first_seen_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME),
        sa.PrimaryKeyConstraint("key_id", name="pk_sealing_keys"),
    )
    unpurged = sa.text("purged_at IS NULL AND ended_at IS NOT NULL")
    op.create_index(
        "ix_chains_requestor_ended_at",
        "chains",
        ["requestor", "ended_at"],
        postgresql_where=unpurged,
        sqlite_where=unpurged,
    )
    op.drop_index("ix_chains_ended_at", "chains")
