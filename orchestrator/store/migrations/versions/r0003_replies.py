"""Later answers of endpoints, and how often a chain has asked for the same."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add two columns to `steps`; no chain that runs has either yet."""
    op.add_column("steps", sa.Column("reply_hash", sa.String))
    repeats = sa.Column("repeats", sa.Integer, nullable=False, server_default="0")
    op.add_column("steps", repeats)
