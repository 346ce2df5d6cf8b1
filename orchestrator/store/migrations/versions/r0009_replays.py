"""Batch replays: how chains have failed, and the plans that replay them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_TIME = sa.DateTime(timezone=True)
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create `failures` and `replays`; what had failed before is not in there."""
    op.create_table(
        "failures",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("chain_id", sa.String, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("requestor", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("endpoint", sa.String),
        sa.Column("status", sa.Integer),
        sa.Column("failed_at", _TIME, nullable=False),
        sa.Column("replay_id", sa.String),
        sa.Column("group_number", sa.Integer),
        sa.Column("taken_at", _TIME),
        sa.Column("outcome", sa.String),
        sa.Column("note", sa.Text),
        sa.Column("went", sa.String),
        sa.PrimaryKeyConstraint("number", name="pk_failures"),
        sa.ForeignKeyConstraint(
            ["chain_id"], ["chains.id"], name="fk_failures_chain_id_chains"
        ),
        sa.UniqueConstraint(
            "chain_id", "generation", name="uq_failures_chain_id_generation"
        ),
    )
    _failures_index("number", "replay_id IS NOT NULL AND outcome IS NULL")
    _failures_index("group_number", "outcome = 'replayed' AND went IS NULL")
    _create_replays()


def _failures_index(second: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        f"ix_failures_replay_id_{second}",
        "failures",
        ["replay_id", second],
        postgresql_where=condition,
        sqlite_where=condition,
    )


def _create_replays() -> None:
    counters = ("canary_step", "group_number", "group_taken", "group_well", "group_ill")
    totals = ("claimed", "replayed", "refused", "well", "ill")
    op.create_table(
        "replays",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("filter", sa.JSON, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("cut_off_at", _TIME, nullable=False),
        sa.Column("cut_off_number", sa.BigInteger, nullable=False),
        sa.Column("pace", sa.Float, nullable=False),
        sa.Column("endpoint_pace", sa.Float),
        sa.Column("canary", sa.Boolean, nullable=False),
        sa.Column("failure_ratio_max", sa.Float, nullable=False),
        sa.Column("endpoint", sa.String),
        sa.Column("sealed_url", sa.Text),
        sa.Column("claimed_to", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in (*counters, *totals)),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("lease_owner", sa.String),
        sa.Column("lease_until", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_replays"),
    )
