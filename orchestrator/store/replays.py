"""The port `Replays` on a database: plans, and the failures they have claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, case, func, or_, select, update

from orchestrator.domain.failing import FailureFilter, FailureGroup
from orchestrator.domain.replay_outcomes import OnItsWay, Went
from orchestrator.domain.replaying import (
    Claimed,
    CutOff,
    Mark,
    Outcome,
    Replay,
    ReplayKind,
    ReplayState,
)
from orchestrator.ports import Clock
from orchestrator.store import failures as found
from orchestrator.store import on_the_way
from orchestrator.store.database import Database
from orchestrator.store.replay_rows import claimed_of, plan_of, plan_values
from orchestrator.store.rows import Values
from orchestrator.store.tables import CLAIMED_STILL, failures, replays

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

#: What rules change; all else is fixed at the making or counted.
_RULED: Final = (
    "state",
    "version",
    "why",
    "changed_by",
    "canary_step",
    "group_number",
    "settled",
    "sealed_url",
    "started_at",
    "ended_at",
)
_OF_GROUP: Final = ("group_taken", "group_well", "group_ill")

_ONE: Final = select(replays).where(replays.c.id == bindparam("replay_id"))
_LOCKED: Final = _ONE.with_for_update()
_NEWEST: Final = select(replays).order_by(replays.c.id.desc()).limit(bindparam("limit"))
_WORK: Final = (
    select(replays)
    .where(
        replays.c.settled.is_(False),
        replays.c.state != ReplayState.PAUSED,
        or_(
            replays.c.lease_owner == bindparam("owner"),
            replays.c.lease_until.is_(None),
            replays.c.lease_until <= bindparam("now"),
        ),
    )
    .order_by(replays.c.id)
    .limit(bindparam("limit"))
)
_WORK_LOCKED: Final = _WORK.with_for_update(skip_locked=True)
#: A plan in other hands has another version: what its last owner still has in mind to
#: write of it is not written.
_LEASE: Final = (
    update(replays)
    .where(replays.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        lease_owner=bindparam("owner"),
        lease_until=bindparam("until"),
        version=case(
            (replays.c.lease_owner != bindparam("owner"), replays.c.version + 1),
            else_=replays.c.version,
        ),
    )
    .returning(replays)
)
_REFUSALS: Final = (
    select(failures.c.note, func.count().label("rows"))
    .where(
        failures.c.replay_id == bindparam("replay_id"),
        failures.c.outcome.in_((Outcome.REFUSED, Outcome.UNREAD)),
    )
    .group_by(failures.c.note)
    .order_by(func.count().desc())
    .limit(bindparam("limit"))
)
_NEXT: Final = (
    select(failures)
    .where(CLAIMED_STILL, failures.c.replay_id == bindparam("replay_id"))
    .order_by(failures.c.number)
    .limit(bindparam("limit"))
    .with_for_update()
)
#: Also what was begun in another group: its outcome counts in the present one.
_TAKE: Final = (
    update(failures)
    .where(failures.c.number.in_(bindparam("numbers", expanding=True)))
    .values(
        taken_at=func.coalesce(
            failures.c.taken_at, bindparam("now", type_=failures.c.taken_at.type)
        ),
        group_number=bindparam("group"),
    )
)
_MARK: Final = (
    update(failures)
    .where(
        failures.c.number == bindparam("marked"),
        failures.c.replay_id == bindparam("of_plan"),
        failures.c.outcome.is_(None),
    )
    .values(outcome=bindparam("outcome"), note=bindparam("note"))
    .returning(failures.c.group_number)
)

#: What is given up is nobody's to replay, so its claim is its end. What another plan
#: could not read is begun anew.
_CLAIM: Final[Mapping[ReplayKind, Callable[[str], Values]]] = {
    ReplayKind.REPLAY: lambda plan_id: _FRESH | {"replay_id": plan_id},
    ReplayKind.HANDLE: lambda plan_id: {"handling_id": plan_id},
}
_FRESH: Final[Values] = dict.fromkeys(("outcome", "note", "taken_at", "group_number"))

_SEALED: Final = (
    select(replays.c.id, replays.c.sealed_url)
    .where(replays.c.id > bindparam("after"), replays.c.sealed_url.is_not(None))
    .order_by(replays.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)

#: What of its lease its owner has at least, without writing a new one.
RENEWED: Final = 0.8

#: As many ids as one query names.
_IDS: Final = 1_000


class SqlReplays:
    """Failures, and the plans that replay them; see `ports.Replays`."""

    def __init__(self, database: Database, *, now: Clock) -> None:
        self._database = database
        self._now = now

    async def cut_off(self) -> CutOff:
        """Now, and the last failure that is written."""

        def last(connection: Connection) -> int:
            return connection.execute(found.LAST).scalar() or 0

        number = await self._database.look(last)
        return CutOff(at=self._now(), number=number)

    async def groups(
        self, which: FailureFilter, cut_off: CutOff, *, limit: int
    ) -> list[FailureGroup]:
        """The failures that are meant, in groups."""
        rows = await self._database.read_through(found.grouped(which, cut_off, limit))
        return [found.group_of(row) for row in rows]

    async def unknown(self, chain_ids: Sequence[str]) -> list[str]:
        """Which of these chains have never failed."""
        known: set[str] = set()
        for start in range(0, len(chain_ids), _IDS):
            some = chain_ids[start : start + _IDS]
            rows = await self._database.read(found.KNOWN, ids=some)
            known |= {row["chain_id"] for row in rows}
        return [chain_id for chain_id in chain_ids if chain_id not in known]

    async def add(self, plan: Replay) -> None:
        """Write a new plan."""
        values = plan_values(plan)
        await self._database.write(
            lambda connection: connection.execute(replays.insert(), values).rowcount
        )

    async def plan(self, replay_id: str) -> Replay | None:
        """One plan."""
        rows = await self._database.read(_ONE, replay_id=replay_id)
        return plan_of(rows[0]) if rows else None

    async def plans(self, *, limit: int) -> list[Replay]:
        """The newest plans first."""
        return [plan_of(row) for row in await self._database.read(_NEWEST, limit=limit)]

    async def refusals(self, replay_id: str, *, limit: int) -> dict[str, int]:
        """Why failures of a plan were refused, and how many."""
        named = {"replay_id": replay_id, "limit": limit}
        rows = await self._database.read_through(_REFUSALS, **named)
        return {row["note"] or "": row["rows"] for row in rows}

    async def change(self, before: Replay, after: Replay) -> bool:
        """Compare the version and set."""
        values = plan_values(after)
        names = list(_RULED)
        if after.group_number != before.group_number:
            names += _OF_GROUP
        same = and_(replays.c.id == after.id, replays.c.version == before.version)
        statement = update(replays).where(same)
        statement = statement.values({name: values[name] for name in names})
        return await self._database.write(
            lambda connection: connection.execute(statement).rowcount == 1
        )

    async def lease(
        self, owner: str, now: datetime, *, lease: timedelta, limit: int
    ) -> list[Replay]:
        """Plans with something to do, which nobody else has meanwhile.

        Only what is not held yet, or not for long any more, is written.
        """
        values = {"owner": owner, "now": now, "limit": limit}
        held = await self._database.read(_WORK, **values)
        if all(_is_held(row, owner, now + RENEWED * lease) for row in held):
            return [plan_of(row) for row in held]

        def act(connection: Connection) -> list[Replay]:
            rows = connection.execute(_WORK_LOCKED, values).mappings().all()
            if not rows:
                return []
            ids = [row["id"] for row in rows]
            leased = {"ids": ids, "owner": owner, "until": now + lease}
            mine = connection.execute(_LEASE, leased).mappings()
            return sorted(map(plan_of, mine), key=lambda plan: plan.id)

        return await self._database.write(act)

    async def claim(self, plan: Replay, *, limit: int) -> int:
        """Claim failures of the next page; whoever else claims waits for the commit."""

        def act(connection: Connection) -> int:
            locked = _locked(connection, plan.id)
            after, to = locked.claimed_to, locked.cut_off.number
            if locked.state is not ReplayState.RUNNING:
                return 0
            page = found.end_of_page(after, to, limit)
            end = connection.execute(page).scalars().first() or to
            query = found.claimable(locked, after=after, to=end)
            numbers = connection.execute(query).scalars().all()
            if numbers:
                mine = update(failures).where(failures.c.number.in_(numbers))
                connection.execute(mine.values(_CLAIM[locked.kind](plan.id)))
            handled = len(numbers) if locked.kind is ReplayKind.HANDLE else 0
            _count(connection, plan.id, claimed=len(numbers), handled=handled)
            cursor = update(replays).where(replays.c.id == plan.id)
            connection.execute(cursor.values(claimed_to=end))
            return len(numbers)

        return await self._database.write(act)

    async def take(
        self,
        plan: Replay,
        now: datetime,
        *,
        owner: str,
        without: Collection[str],
        limit: int,
    ) -> list[Claimed]:
        """The next failures of a plan; of a cancelled one only what was begun."""

        def act(connection: Connection) -> list[Claimed]:
            locked = _locked_of(connection, plan.id, owner)
            if locked is None:
                return []
            query = _NEXT
            if without:
                others = failures.c.endpoint.not_in(sorted(without))
                query = query.where(or_(failures.c.endpoint.is_(None), others))
            if locked.state is not ReplayState.RUNNING:
                query = query.where(failures.c.taken_at.is_not(None))
            named = {"replay_id": plan.id, "limit": limit}
            rows = connection.execute(query, named).mappings().all()
            if rows:
                numbers = [row["number"] for row in rows]
                taken = {"numbers": numbers, "now": now, "group": locked.group_number}
                connection.execute(_TAKE, taken)
            return [claimed_of(row) for row in rows]

        return await self._database.write(act)

    async def claimable(
        self, which: FailureFilter, cut_off: CutOff, *, after: int, limit: int
    ) -> list[Claimed]:
        """A page of what a plan could claim."""
        query = found.standing(which, cut_off, after=after, limit=limit)
        return [claimed_of(row) for row in await self._database.read(query)]

    async def mark(self, replay_id: str, marks: Sequence[Mark], *, owner: str) -> None:
        """Note and count what became of failures, each once."""

        def act(connection: Connection) -> None:
            locked = _locked_of(connection, replay_id, owner)
            if locked is None:
                return
            count = Counter[str]()
            for mark in marks:
                told = {"outcome": mark.outcome, "note": mark.note}
                which = {"marked": mark.number, "of_plan": replay_id}
                marked = connection.execute(_MARK, told | which).one_or_none()
                if marked is None:  # it was marked before
                    continue
                replayed = mark.outcome is Outcome.REPLAYED
                count["replayed" if replayed else "refused"] += 1
                if marked.group_number == locked.group_number:
                    count["group_taken"] += 1
                    count["group_ill"] += mark.outcome is Outcome.UNREAD
            _count(connection, replay_id, **count)

        if marks:
            await self._database.write(act)

    async def on_their_way(self, replay_id: str, *, limit: int) -> list[OnItsWay]:
        """Replays of a plan whose outcome is not known."""
        return await self._database.look(
            lambda connection: on_the_way.look(connection, replay_id, limit)
        )

    async def judge(self, plan: Replay, went: Mapping[int, Went]) -> None:
        """Note and count what replays came to, each once."""

        def act(connection: Connection) -> None:
            locked = _locked(connection, plan.id)
            groups = on_the_way.judge(connection, went)
            for (group, how), count in groups.items():
                _count(connection, plan.id, **{how.value: count})
                if group == locked.group_number:
                    _count(connection, plan.id, **{f"group_{how.value}": count})

        await self._database.write(act)

    async def release(self, replay_id: str, *, after: int, limit: int) -> int | None:
        """Let failures go that were never begun; the number of the last one."""
        never = (
            select(failures.c.number)
            .where(
                CLAIMED_STILL,
                failures.c.replay_id == replay_id,
                failures.c.taken_at.is_(None),
                failures.c.number > after,
            )
            .order_by(failures.c.number)
            .limit(limit)
        )
        mine = update(failures).where(failures.c.number.in_(never))
        free = mine.values(replay_id=None).returning(failures.c.number)

        def act(connection: Connection) -> int | None:
            return max(connection.execute(free).scalars(), default=None)

        return await self._database.write(act)

    async def reseal(
        self, rule: Callable[[str, str], str], *, after: str, limit: int
    ) -> tuple[str | None, int]:
        """Seal URLs anew; a plan has another version then, so none is set back."""

        def act(connection: Connection) -> tuple[str | None, int]:
            page = connection.execute(_SEALED, {"after": after, "limit": limit}).all()
            changed = 0
            for replay_id, sealed in page:
                again = rule(replay_id, sealed)
                if again != sealed:
                    mine = update(replays).where(replays.c.id == replay_id)
                    version = replays.c.version + 1
                    connection.execute(mine.values(sealed_url=again, version=version))
                    changed += 1
            return (page[-1].id if page else None), changed

        return await self._database.write(act)


def _is_held(row: RowMapping, owner: str, until: datetime) -> bool:
    """Whether this owner has a plan at least until then."""
    held_until = row["lease_until"]
    return row["lease_owner"] == owner and held_until is not None and held_until >= until


def _locked(connection: Connection, replay_id: str) -> Replay:
    return plan_of(_locked_row(connection, replay_id))


def _locked_of(connection: Connection, replay_id: str, owner: str) -> Replay | None:
    """The plan, unless it was leased to somebody else since its owner looked."""
    row = _locked_row(connection, replay_id)
    return plan_of(row) if row["lease_owner"] == owner else None


def _locked_row(connection: Connection, replay_id: str) -> RowMapping:
    return connection.execute(_LOCKED, {"replay_id": replay_id}).mappings().one()


def _count(connection: Connection, replay_id: str, **more: int) -> None:
    """Count on."""
    values = {name: replays.c[name] + count for name, count in more.items() if count}
    if values:
        mine = update(replays).where(replays.c.id == replay_id)
        connection.execute(mine.values(values))
