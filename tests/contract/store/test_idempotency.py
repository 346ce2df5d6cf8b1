"""One chain for one idempotency key, and what is left of a chain after its time."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from orchestrator.domain.chain import IDEMPOTENCY, Chain, ChainState, Slot
from orchestrator.ports import Store
from orchestrator.store import chains
from orchestrator.store.database import open_database
from orchestrator.store.tables import UtcDateTime
from tests.contract.store.samples import NOW, SECOND, a_chain, a_message, a_step

DAY = timedelta(days=1)


def keyed(chain_id: str, key: str = "k", age: timedelta = timedelta(0)) -> Chain:
    """A chain that was begun with an idempotency key."""
    chain = a_chain(chain_id, created_at=NOW - age)
    return replace(chain, idempotency=key, body_hash="b")


def ended(chain_id: str, age: timedelta) -> Chain:
    """A chain that has been over for this long."""
    return replace(a_chain(chain_id), state=ChainState.COMPLETED, ended_at=NOW - age)


async def test_a_key_begins_one_chain(store: Store) -> None:
    """The second time nothing is written, and the first chain comes back."""
    first = keyed("C1")
    assert await store.begin_chain(first, a_step("C1"), [a_message("m1")]) is None

    again = await store.begin_chain(keyed("C2"), a_step("C2"), [a_message("m2")])

    assert again == first
    assert await store.chain("C2") is None
    assert await store.steps("C2") == []
    assert [row.id for row in await store.waiting(limit=9)] == ["m1"]


async def test_of_two_at_once_one_begins(store: Store) -> None:
    """Nobody fails, and both are told of the same chain."""
    names = [f"C{n}" for n in range(4)]
    tries = (store.begin_chain(keyed(name), a_step(name), []) for name in names)

    answers = await asyncio.gather(*tries)

    written = [name for name in names if await store.chain(name) is not None]
    assert len(written) == 1
    assert [a.id for a in answers if a is not None] == written * 3


async def test_a_key_is_forgotten_after_a_day(store: Store) -> None:
    """Then it begins another chain; the old one stays as it is otherwise."""
    old = keyed("C1", age=IDEMPOTENCY)
    await store.begin_chain(old, a_step("C1"), [])
    assert await store.begun("k", NOW) is None

    assert await store.begin_chain(keyed("C2"), a_step("C2"), []) is None

    found = await store.begun("k", NOW)
    assert found is not None
    assert found.id == "C2"
    assert await store.chain("C1") == replace(old, idempotency=None)


async def test_keys_are_looked_up_one_by_one(store: Store) -> None:
    """Another key has begun nothing."""
    await store.begin_chain(keyed("C1"), a_step("C1"), [])

    assert await store.begun("other", NOW) is None
    assert await store.begin_chain(keyed("C2", "other"), a_step("C2"), []) is None


async def test_secrets_go_when_their_time_is_over(store: Store) -> None:
    """What happened stays, its values and tokens do not; others keep theirs."""
    secrets = replace(
        a_step("C1", token_hash="t"),
        sealed_request="r",
        sealed_prepared="p",
        sealed_package="k",
        sealed_token="t",
        sealed_result="s",
    )
    await store.begin_chain(ended("C1", DAY + SECOND), secrets, [])
    kept = replace(secrets, slot=Slot(chain_id="C2", step=1), token_hash="u")
    await store.begin_chain(ended("C2", DAY), kept, [])
    running = replace(secrets, slot=Slot(chain_id="C3", step=1), token_hash="v")
    await store.begin_chain(a_chain("C3"), running, [])

    assert await store.purge(lambda _: NOW - DAY, limit=9) == 1
    assert await store.purge(lambda _: NOW - DAY, limit=9) == 0

    purged = await store.step(Slot(chain_id="C1", step=1))
    assert purged == a_step("C1", token_hash="t")
    chain = await store.chain("C1")
    assert chain is not None
    assert chain.purged_at == NOW
    assert await store.step(kept.slot) == kept
    assert await store.step(running.slot) == running


async def test_secrets_stay_while_a_session_has_not_ended(store: Store) -> None:
    """It may outlive its chain, and what it comes to has to be told first."""
    await store.begin_chain(ended("C1", DAY), a_step("C1", check_at=NOW), [])
    await store.begin_chain(ended("C2", DAY), a_step("C2"), [])

    assert await store.purge(lambda _: NOW, limit=9) == 1

    waits, gone = [await store.chain(chain_id) for chain_id in ("C1", "C2")]
    assert waits is not None
    assert gone is not None
    assert (waits.purged_at, gone.purged_at) == (None, NOW)


async def test_a_purge_takes_the_oldest_first_and_no_more_than_it_may(
    store: Store,
) -> None:
    """So that each transaction is short."""
    for n in range(3):
        await store.begin_chain(ended(f"C{n}", DAY * (9 - n)), a_step(f"C{n}"), [])

    assert await store.purge(lambda _: NOW, limit=2) == 2

    rows = [await store.chain(f"C{n}") for n in range(3)]
    assert [row.purged_at if row else NOW for row in rows] == [NOW, NOW, None]


async def test_each_requestor_has_its_own_time(store: Store) -> None:
    """Who is overdue for longest goes first; those whose time is not over are left."""
    ages = {"C1": ("acme", 3), "C2": ("acme", 2), "C3": ("shop", 2), "C4": ("zoo", 9)}
    for chain_id, (requestor, days) in ages.items():
        chain = replace(ended(chain_id, DAY * days), requestor=requestor)
        await store.begin_chain(chain, a_step(chain_id), [])
    await store.begin_chain(a_chain("C5"), a_step("C5"), [])
    kept = {"acme": 2 * DAY - SECOND, "shop": DAY / 2, "zoo": 9 * DAY}

    async def purged(limit: int) -> set[str]:
        await store.purge(lambda requestor: NOW - kept[requestor], limit=limit)
        rows = await store.chains(limit=9)
        return {row.chain.id for row in rows if row.chain.purged_at is not None}

    assert await purged(1) == {"C3"}
    assert await purged(1) == {"C3", "C1"}
    assert await purged(9) == {"C3", "C1", "C2"}
    assert await purged(9) == {"C3", "C1", "C2"}
    kept["zoo"] = DAY
    assert await purged(9) == {"C3", "C1", "C2", "C4"}


async def test_what_is_to_be_purged_is_found_by_an_index(url: str) -> None:
    """Neither those that were purged nor those that are kept are looked through."""
    explain = "EXPLAIN QUERY PLAN " if url.startswith("sqlite") else "EXPLAIN "
    named = {"postgresql": PGDialect, "sqlite": SQLiteDialect}
    values = {"after": "", "requestor": "acme", "before": NOW, "limit": 9}

    def plans(connection: Connection) -> list[str]:
        dialect = connection.dialect.name
        if dialect == "postgresql":  # which would rather sort what little there is
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        texts = []
        for statement in (chains._FIRST_ENDED, chains._PURGEABLE):
            compiled = statement.compile(dialect=named[dialect](paramstyle="named"))
            given = [
                bindparam(name, value, type_=UtcDateTime if value is NOW else None)
                for name, value in (compiled.params | values).items()
                if name in compiled.params
            ]
            query = text(explain + re.sub(r"::[A-Z][A-Z ]*", "", str(compiled)))
            rows = connection.execute(query.bindparams(*given))
            texts.append("\n".join(str(tuple(row)) for row in rows))
        return texts

    async with open_database(url) as database:
        found = await database.write(plans)
    for plan in found:
        assert "ix_chains_requestor_ended_at" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
        assert "Sort" not in plan, plan
