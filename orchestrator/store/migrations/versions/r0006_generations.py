"""Replays: when a chain's generation began, as it has the whole wall time again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add a column to `chains`; no chain was replayed yet."""
    op.add_column("chains", sa.Column("replayed_at", sa.DateTime(timezone=True)))
