"""Deliveries are read as the kind of work their queue takes, or said not to be."""

from __future__ import annotations

import json

import pytest

from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import Undecodable
from orchestrator.ports import Message
from orchestrator.sealing import Sealer
from orchestrator.work import WorkMaker, start_message
from schemas.events import Purpose
from schemas.messages import StartWork, dump
from tests.support.samples import TARGET, delivery, result_of
from workers.decoding import callback_work, session_work

START: Message = start_message(Slot(chain_id="C1", step=1), "acme")


def test_each_queue_takes_its_own_work(sealer: Sealer) -> None:
    """A callback in `callbacks`, everything else in `sessions`."""
    callback = WorkMaker(sealer=sealer).callback(
        Slot(chain_id="C1", step=1),
        "acme",
        result_of("T"),
        purpose=Purpose.NEXT,
        url=TARGET,
        validity_s=1,
    )
    assert callback_work(delivery(callback)) == callback
    assert isinstance(session_work(delivery(START)), StartWork)
    with pytest.raises(Undecodable, match="kind: callback does not belong"):
        session_work(delivery(callback))
    with pytest.raises(Undecodable, match="kind: start does not belong"):
        callback_work(delivery(START))


@pytest.mark.parametrize("body", [b"", b"MARKER", b"{}", b'{"kind": "MARKER"}'])
def test_what_cannot_be_read_says_why(body: bytes) -> None:
    """The reason goes with it to `dead`, so it must not hold what was in it."""
    for read in (callback_work, session_work):
        with pytest.raises(Undecodable) as caught:
            read(delivery(body))
        assert str(caught.value)
        assert "MARKER" not in str(caught.value)


def test_the_field_that_is_wrong_is_named() -> None:
    """Whoever looks at `dead` sees what to mend."""
    fields = json.loads(START.body) | {"step": 0}
    with pytest.raises(Undecodable, match="step: "):
        session_work(delivery(json.dumps(fields).encode()))


def test_a_misplaced_message_is_not_repeated(sealer: Sealer) -> None:
    """Its kind is named and nothing of what it holds."""
    slot = Slot(chain_id="C1", step=1)
    note = WorkMaker(sealer=sealer).note(slot, "acme", result_of("MARKER"))
    with pytest.raises(Undecodable) as caught:
        callback_work(delivery(dump(note)))
    assert note.sealed not in str(caught.value)
