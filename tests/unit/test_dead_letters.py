"""What is told of a dead letter's body."""

from __future__ import annotations

from orchestrator.dead_letters import open_part
from orchestrator.domain.chain import Slot
from orchestrator.ports import event_message
from orchestrator.sealing import Sealer
from orchestrator.work import WorkMaker
from schemas.events import Purpose
from schemas.messages import ReplyAddress, dump
from tests.support.events import started
from tests.support.samples import NOW, TARGET, result_of

SLOT = Slot(chain_id="C1", step=1)


def test_the_open_part_of_work_is_told(sealer: Sealer) -> None:
    """Never what is sealed, nor where a gateway has waited."""
    reply = ReplyAddress(queue="gateway.secret", correlation_id="c", deadline=NOW)
    work = WorkMaker(sealer=sealer).callback(
        SLOT,
        "acme",
        result_of("T"),
        purpose=Purpose.NEXT,
        url=TARGET,
        validity_s=1,
        reply=reply,
    )
    part = open_part(dump(work))
    assert part is not None
    assert (part["kind"], part["chain_id"], part["attempt"]) == ("callback", "C1", 1)
    assert part["endpoint"] == "https://shop.example:443"
    assert not {"sealed", "reply"} & set(part)
    for secret in (work.sealed, "gateway.secret", "MARKER"):
        assert secret not in str(part)


def test_an_event_is_told() -> None:
    """All of it is open."""
    event = started()
    part = open_part(event_message(event).body)
    assert part is not None
    assert (part["type"], part["chainid"]) == ("session.started", "C1")


def test_what_looks_like_a_secret_is_masked() -> None:
    """A reason may repeat what an endpoint wrote."""
    body = (
        b'{"kind":"end","id":"i","chain_id":"C1","step":1,"generation":0,'
        b'"requestor":"acme","cause":"c","end":"failed","sealed":"MARKER",'
        b'"reason":"at https://shop.example/MARKER/path with Token456789012345678"}'
    )
    part = open_part(body)
    assert part is not None
    assert "MARKER" not in str(part)
    assert "Token456789012345678" not in str(part)


def test_of_anything_else_nothing_is_told() -> None:
    """Valid JSON that our schemas do not read may hold a secret under any name."""
    bodies = (b"", b"MARKER", b"{}", b'{"kind": "callback", "note": "MARKER"}', b"\xff")
    assert {open_part(body) for body in bodies} == {None}
