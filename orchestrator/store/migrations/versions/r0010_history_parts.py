"""Which part of the history has written each event, and so publishes it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add a column to `events`; all that was written is of the only part so far."""
    op.add_column(
        "events", sa.Column("part", sa.Integer, nullable=False, server_default="0")
    )
    op.drop_index("ix_events_number", "events")
    condition = sa.text("published_at IS NULL")
    op.create_index(
        "ix_events_part_number",
        "events",
        ["part", "number"],
        postgresql_where=condition,
        sqlite_where=condition,
    )
