"""The rows of DESIGN §5 as tables; a change here needs a revision in `migrations/`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    literal_column,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Dialect
    from sqlalchemy.types import TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time on every database; SQLite itself keeps no time zone."""

    impl: TypeEngine[datetime] | type[TypeEngine[datetime]] = DateTime(timezone=True)
    cache_ok: bool | None = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Turn to UTC; a time without a zone is a defect of ours."""
        del dialect
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a time zone")
        return value and value.astimezone(UTC)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Give the zone back."""
        del dialect
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


#: Names for every constraint, so that a later revision can name what it alters.
metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Rows in the order they were written; SQLite counts only in an INTEGER key.
_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")

chains: Final = Table(
    "chains",
    metadata,
    Column("id", String, primary_key=True),
    Column("requestor", String, nullable=False),
    Column("backend", String, nullable=False),
    Column("state", String, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("reason", Text),
    Column("idempotency", String),
    Column("body_hash", String),
    Column("purged_at", UtcDateTime),
    Column("replayed_at", UtcDateTime),
    Index(None, "created_at", "id"),
    Index(None, "idempotency", unique=True),
)

steps: Final = Table(
    "steps",
    metadata,
    Column("chain_id", ForeignKey("chains.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("session_type", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("check_at", UtcDateTime),
    Column("in_flow", Boolean, nullable=False),
    Column("deadline", UtcDateTime),
    Column("forwarded_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("live_at", UtcDateTime),
    Column("chained", Boolean, nullable=False),
    Column("announced", Boolean, nullable=False),
    Column("session_timeout_s", BigInteger, nullable=False),
    Column("lease_owner", String),
    Column("lease_until", UtcDateTime),
    Column("token_hash", String),
    Column("answer_hash", String),
    Column("reply_hash", String),
    Column("repeats", Integer, nullable=False, server_default="0"),
    Column("final_status", String),
    Column("reason", Text),
    Column("sealed_request", Text),
    Column("sealed_prepared", Text),
    Column("sealed_package", Text),
    Column("sealed_token", Text),
    Column("sealed_result", Text),
)

waiting: Final = Table(
    "waiting",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("chain_id", String),
    Column("endpoint", String),
    Column("lease_owner", String),
    Column("lease_until", UtcDateTime),
    Column("message_id", String, nullable=False),
    Column("exchange", String, nullable=False),
    Column("routing_key", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("content_type", String, nullable=False),
    Column("correlation_id", String),
    Column("headers", JSON, nullable=False),
)

endpoints: Final = Table(
    "endpoints",
    metadata,
    Column("origin", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("release_at", UtcDateTime, nullable=False),
    Column("trips", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("probe", String),
    Column("paused_at", UtcDateTime),
    Column("note", Text),
)

#: `body` is the event's own JSON, kept as text: PostgreSQL's json types refuse \u0000.
events: Final = Table(
    "events",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("chain_id", String, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime),
    Column("body", Text, nullable=False),
    Column("requestor", String),
    Column("part", Integer, nullable=False, server_default="0"),
    UniqueConstraint("chain_id", "sequence"),
    Index(None, "requestor", "number"),
)

#: How chains have failed; of a purged one everything but its secrets stays, as here.
failures: Final = Table(
    "failures",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("chain_id", ForeignKey("chains.id"), nullable=False),
    Column("step", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("requestor", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("text", Text),
    Column("endpoint", String),
    Column("status", Integer),
    Column("failed_at", UtcDateTime, nullable=False),
    Column("replay_id", String),
    Column("group_number", Integer),
    Column("taken_at", UtcDateTime),
    Column("outcome", String),
    Column("note", Text),
    Column("went", String),
    Column("handling_id", String),
    UniqueConstraint("chain_id", "generation"),
)

replays: Final = Table(
    "replays",
    metadata,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("why", Text),
    Column("note", Text),
    Column("filter", JSON, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("cut_off_at", UtcDateTime, nullable=False),
    Column("cut_off_number", BigInteger, nullable=False),
    Column("pace", Float, nullable=False),
    Column("endpoint_pace", Float),
    Column("canary", Boolean, nullable=False),
    Column("failure_ratio_max", Float, nullable=False),
    Column("endpoint", String),
    Column("sealed_url", Text),
    Column("claimed_to", BigInteger, nullable=False),
    Column("canary_step", Integer, nullable=False),
    Column("group_number", Integer, nullable=False),
    Column("group_taken", Integer, nullable=False),
    Column("group_well", Integer, nullable=False),
    Column("group_ill", Integer, nullable=False),
    Column("claimed", Integer, nullable=False),
    Column("replayed", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("well", Integer, nullable=False),
    Column("ill", Integer, nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("lease_owner", String),
    Column("lease_until", UtcDateTime),
    Column("kind", String, nullable=False, server_default="replay"),
    Column("made_by", String),
    Column("changed_by", String),
    Column("handled", Integer, nullable=False, server_default="0"),
)

#: Of keys that seal or open: when processes began to have them, and used them last.
sealing_keys: Final = Table(
    "sealing_keys",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
)


#: Spelled out: an index over some of the rows serves only queries that say the same.
PARKED: Final = waiting.c.kind == literal_column("'parked'")
TIMED: Final = waiting.c.kind != literal_column("'parked'")
CLAIMED_STILL: Final = and_(
    failures.c.replay_id.is_not(None), failures.c.outcome.is_(None)
)
ON_THE_WAY: Final = and_(
    failures.c.outcome == literal_column("'replayed'"), failures.c.went.is_(None)
)
UNPURGED: Final = and_(chains.c.purged_at.is_(None), chains.c.ended_at.is_not(None))


def _partial(*columns: Column[Any], where: ColumnElement[bool]) -> None:
    """Index only the rows that are looked for; most rows are not."""
    Index(None, *columns, postgresql_where=where, sqlite_where=where)


_partial(chains.c.requestor, chains.c.ended_at, where=UNPURGED)
_partial(steps.c.check_at, where=steps.c.check_at.is_not(None))
_partial(steps.c.token_hash, where=steps.c.token_hash.is_not(None))
_partial(waiting.c.chain_id, where=waiting.c.chain_id.is_not(None))
_partial(events.c.part, events.c.number, where=events.c.published_at.is_(None))
_partial(waiting.c.due_at, waiting.c.created_at, waiting.c.number, where=TIMED)
_partial(waiting.c.endpoint, waiting.c.created_at, waiting.c.number, where=PARKED)
_partial(failures.c.replay_id, failures.c.number, where=CLAIMED_STILL)
_partial(failures.c.replay_id, failures.c.group_number, where=ON_THE_WAY)
