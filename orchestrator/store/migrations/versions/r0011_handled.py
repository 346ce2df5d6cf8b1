"""Failures that were given up, and who has made or changed a plan."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add columns; nothing was given up yet, and who made earlier plans is not known."""
    op.add_column("failures", sa.Column("handling_id", sa.String))
    kind = sa.Column("kind", sa.String, nullable=False, server_default="replay")
    handled = sa.Column("handled", sa.Integer, nullable=False, server_default="0")
    op.add_column("replays", kind)
    op.add_column("replays", sa.Column("made_by", sa.String))
    op.add_column("replays", sa.Column("changed_by", sa.String))
    op.add_column("replays", handled)
