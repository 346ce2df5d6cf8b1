"""`chainctl erase`: what is left of a chain, what is refused, what is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.cli.erase import erase_chain
from orchestrator.domain.errors import NotConfigured, OrchestratorError
from orchestrator.ports import event_message, outbox_row
from orchestrator.sealing import Sealer, new_key, read_key
from orchestrator.settings import Settings
from orchestrator.store import SqlStore
from schemas.events import parse_event
from schemas.irma import Status
from schemas.messages import CancelWork, parse_work
from tests.contract.store.samples import an_event
from tests.support.samples import disclosure, result_of
from tests.support.workshop import Begun, Workshop

KEY, HASH_KEY = new_key(), new_key()


@pytest.fixture
def sealer() -> Sealer:
    """The keys of the installation."""
    return Sealer(read_key(KEY), "k1", read_key(HASH_KEY))


@pytest.fixture
def settings(store: SqlStore) -> Settings:
    """An installation whose database is the workshop's."""
    engine = store._database._driver._writer  # type: ignore[attr-defined] # SQLite's
    return Settings.model_validate(
        {
            "broker_url": "amqp://127.0.0.1:1/",
            "database_url": f"sqlite:///{engine.url.database}",
            "public_url": "https://chains.example",
            "irma_server": {"url": "https://irma.example"},
            "sealing": {"key": KEY, "hash_key": HASH_KEY},
            "no_auth": True,
        }
    )


async def ended(workshop: Workshop) -> Begun:
    """A chain whose one session was cancelled by its user."""
    begun = await workshop.begin(disclosure())
    await workshop.report(begun.slot, result_of(begun.token, "CANCELLED", None))
    return begun


async def test_nothing_of_a_chain_that_is_over_can_be_opened_again(
    workshop: Workshop, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows hold no envelope and no hash, what waited is gone; another's stays."""
    begun, other = await ended(workshop), await ended(workshop)
    work = workshop.callback(begun.slot, begun.token)
    event = outbox_row(event_message(an_event("e1")), begun.id, workshop.clock())
    again = workshop.make.again(work, 900.0, workshop.clock())
    broken = replace(again, id="b", message=replace(again.message, body=b"\xff"))
    await workshop.store.put_waiting(again, event, broken)

    capsys.readouterr()
    await erase_chain(settings, begun.id, cancel=False, as_json=True)

    told = json.loads(capsys.readouterr().out)
    chain = await workshop.chain(begun.id)
    assert chain.purged_at is not None
    assert told == {
        "id": begun.id,
        "state": "cancelled",
        "erasedAt": chain.purged_at.isoformat(),
        "rows": 2,
        "waiting": 2,
        "sessionsGivenUp": 0,
    }
    assert (await workshop.row(begun.slot)).token_hash is None
    assert await workshop.waiting() == ["e1"]
    assert await workshop.store.sealed_rows() == {"k1": {"steps": 1}}
    assert workshop.rows.token(await workshop.row(other.slot)) == other.token


async def test_erasing_again_takes_what_came_since(
    workshop: Workshop, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was on its way in the broker may wait in a row only afterwards."""
    begun = await ended(workshop)
    await erase_chain(settings, begun.id, cancel=False, as_json=False)
    work = workshop.callback(begun.slot, begun.token)
    await workshop.store.put_waiting(workshop.make.again(work, 1.0, workshop.clock()))

    await erase_chain(settings, begun.id, cancel=False, as_json=False)

    assert await workshop.waiting() == []
    text = capsys.readouterr().out
    assert f"chain {begun.id} (cancelled) was erased" in text
    assert "2 without secrets now, 1 that waited gone" in text


async def test_a_chain_that_is_running_is_refused(
    workshop: Workshop, settings: Settings
) -> None:
    """The text says how to do it all the same; nothing is changed."""
    begun = await workshop.begin()
    before = await workshop.row(begun.slot)
    with pytest.raises(
        OrchestratorError, match=r"not erased: it is still running.*--cancel"
    ):
        await erase_chain(settings, begun.id, cancel=False, as_json=False)
    assert await workshop.row(begun.slot) == before
    assert (await workshop.chain(begun.id)).purged_at is None


async def test_a_chain_that_is_not_there_is_named(settings: Settings) -> None:
    """As by `chainctl show`."""
    with pytest.raises(NotConfigured, match="chain nope: there is no such chain"):
        await erase_chain(settings, "nope", cancel=True, as_json=False)
    with pytest.raises(NotConfigured, match=r"that is no id of a chain: '.udcff'"):
        await erase_chain(settings, "\udcff", cancel=False, as_json=False)


async def test_a_running_chain_is_ended_and_its_session_cancelled(
    workshop: Workshop, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """By messages of the same transaction; erasing again keeps those (G2)."""
    begun = await workshop.begin()
    await erase_chain(settings, begun.id, cancel=True, as_json=False)
    assert "sessions 1 to be cancelled by a session worker" in capsys.readouterr().out
    assert (await workshop.chain(begun.id)).state == "cancelled"
    assert await workshop.store.sealed_rows() == {"k1": {"waiting": 1}}
    await erase_chain(settings, begun.id, cancel=False, as_json=False)

    rows = await workshop.store.waiting(chain_id=begun.id, limit=9)
    bodies = {row.message.routing_key: row.message.body for row in rows}
    assert len(rows) == 3
    assert parse_event(bodies["history"]).subject == begun.id
    cancel = parse_work(bodies["sessions"])
    assert isinstance(cancel, CancelWork)
    await workshop.session_worker().canceller.take(cancel)
    assert workshop.backend.cancelled == [begun.token]


async def test_what_comes_in_later_has_no_effect(
    workshop: Workshop, settings: Settings
) -> None:
    """Neither the session's end nor an answer brings anything back."""
    begun = await workshop.begin()
    await erase_chain(settings, begun.id, cancel=True, as_json=False)
    before = await workshop.store.steps(begun.id)
    await workshop.report(begun.slot, result_of(begun.token, Status.DONE))
    work = workshop.callback(begun.slot, begun.token)
    await workshop.carry_on(work, disclosure())
    assert await workshop.store.steps(begun.id) == before
