"""Whose each event is, so that a requestor's own events are found in their order."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"

_EVENTS = sa.table("events", sa.column("chain_id"), sa.column("requestor"))
_CHAINS = sa.table("chains", sa.column("id"), sa.column("requestor"))


def upgrade() -> None:
    """Add a column to `events`, filled from the chains; of endpoints' events it is empty.

    Every event of a chain is in there after the chain itself.
    """
    op.add_column("events", sa.Column("requestor", sa.String))
    whose = sa.select(_CHAINS.c.requestor).where(_CHAINS.c.id == _EVENTS.c.chain_id)
    op.execute(sa.update(_EVENTS).values(requestor=whose.scalar_subquery()))
    op.create_index("ix_events_requestor_number", "events", ["requestor", "number"])
