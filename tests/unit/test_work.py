"""Work messages: ids follow from what happened, secrets are sealed for each of them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import SealBroken
from orchestrator.ports import Queues, work_message
from orchestrator.sealing import Sealer
from orchestrator.work import WorkMaker, start_message
from schemas.events import Purpose
from schemas.irma import session_request_from
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    End,
    EndWork,
    IntakeSecrets,
    NextSecrets,
    NoteSecrets,
    ReplyAddress,
    StartWork,
    parse_work,
)
from tests.support.samples import NOW, TARGET, issuance, result_of

SLOT = Slot(chain_id="01C", step=2, generation=1)
RESULT = result_of("TokenMARKER000000001")
REPLY = ReplyAddress(queue="gateway.one", correlation_id="c1", deadline=NOW)


@pytest.fixture
def make(sealer: Sealer) -> WorkMaker:
    """What is under test."""
    return WorkMaker(sealer=sealer)


@pytest.fixture
def work(make: WorkMaker) -> CallbackWork:
    """The callback of a proved session, whose gateway waits."""
    return make.callback(
        SLOT,
        "acme",
        RESULT,
        purpose=Purpose.NEXT,
        url=TARGET,
        validity_s=77,
        reply=REPLY,
    )


def opened(sealer: Sealer, work: CallbackWork) -> CallbackSecrets:
    """What is sealed in a callback."""
    return sealer.open_model(CallbackSecrets, work.sealed, bound_to=work.id)


def test_a_callback_says_openly_what_is_no_secret(work: CallbackWork) -> None:
    """The endpoint by its origin, the clocks, the step; its first attempt is number 1."""
    assert (work.chain_id, work.step, work.generation) == ("01C", 2, 1)
    assert (work.requestor, work.session_type, work.validity_s) == (
        "acme",
        "disclosing",
        77,
    )
    assert work.endpoint == "https://shop.example:443"
    assert (work.attempt, work.retries, work.reply) == (1, 0, REPLY)
    assert work.cause == work.id
    assert "MARKER" not in work.model_dump_json()


def test_a_callback_seals_result_token_and_url(
    sealer: Sealer, work: CallbackWork
) -> None:
    """The result as it came, under the message's own id."""
    secrets = opened(sealer, work)
    assert secrets.result == RESULT.to_wire()
    assert (secrets.token, secrets.url) == (RESULT.token, TARGET)


def test_the_same_result_makes_the_same_id(make: WorkMaker, work: CallbackWork) -> None:
    """A repeated POST is the same callback; another session's or purpose's is not."""

    def id_of(token: str, purpose: Purpose = Purpose.NEXT) -> str:
        result = result_of(token)
        return make.callback(
            SLOT, "acme", result, purpose=purpose, url=TARGET, validity_s=1
        ).id

    assert id_of(RESULT.token) == work.id
    assert id_of("TokenMARKER000000002") != work.id
    assert id_of(RESULT.token, Purpose.NOTIFY) != work.id
    assert RESULT.token not in work.id


def test_no_id_has_a_dot(make: WorkMaker, work: CallbackWork) -> None:
    """Standard Webhooks forbids dots in ids, and events are named by these too."""
    secrets = CallbackSecrets(result={}, token="T", url=TARGET)
    request = session_request_from(issuance())
    ids = {
        work.id,
        make.following(work, secrets, request, "e1").id,
        make.ending(work, secrets, end=End.COMPLETED, cause="e1").id,
        make.intake(SLOT, "acme", RESULT, "poll").id,
        make.note(SLOT, "acme", RESULT).id,
        make.again(work, 5, NOW).id,
        parse_work(start_message(SLOT, "acme").body).id,
    }
    assert len(ids) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,200}", id_) for id_ in ids)


def test_the_next_session_carries_on_all_that_is_needed(
    sealer: Sealer, make: WorkMaker, work: CallbackWork
) -> None:
    """Result, token, target and reply address, sealed again for the new message."""
    request = session_request_from(issuance("https://shop.example/done"))
    following = make.following(work, opened(sealer, work), request, "answered")
    secrets = sealer.open_model(NextSecrets, following.sealed, bound_to=following.id)
    assert secrets.request == request.to_wire()
    assert secrets.result == RESULT.to_wire()
    assert (secrets.token, secrets.url) == (RESULT.token, TARGET)
    assert (following.reply, following.cause) == (REPLY, "answered")
    assert "MARKER" not in following.model_dump_json()


def test_an_end_carries_its_reason_openly_and_the_result_sealed(
    sealer: Sealer, make: WorkMaker, work: CallbackWork
) -> None:
    """The session worker needs both to write the rows."""
    ending = make.ending(
        work, opened(sealer, work), end=End.FAILED, cause="failed", reason="why"
    )
    assert (ending.end, ending.reason, ending.reply) == (End.FAILED, "why", REPLY)
    secrets = sealer.open_model(CallbackSecrets, ending.sealed, bound_to=ending.id)
    assert secrets == opened(sealer, work)


def test_a_deadline_waits_with_all_that_ends_the_chain(
    sealer: Sealer, make: WorkMaker, work: CallbackWork
) -> None:
    """For the session worker, which the app does not wait for; one row a callback."""
    until = NOW + timedelta(hours=1)
    row = make.deadline(work, opened(sealer, work), until=until, cause="e1", now=NOW)
    ending = parse_work(row.message.body)
    assert isinstance(ending, EndWork)
    assert (ending.end, ending.cause, ending.reply) == (End.EXPIRED, "e1", None)
    assert "202" in (ending.reason or "")
    secrets = sealer.open_model(CallbackSecrets, ending.sealed, bound_to=ending.id)
    assert secrets == opened(sealer, work)
    assert (row.id, row.kind) == (f"{work.id}-deadline", "deadline")
    assert (row.due_at, row.created_at) == (until, NOW)
    assert (row.chain_id, row.endpoint) == ("01C", work.endpoint)
    assert row.message.routing_key == Queues.SESSIONS


def test_a_seal_opens_in_its_own_message_only(
    sealer: Sealer, make: WorkMaker, work: CallbackWork
) -> None:
    """Nobody can move a sealed part into another message."""
    following = make.following(
        work, opened(sealer, work), session_request_from(issuance()), "x"
    )
    with pytest.raises(SealBroken):
        sealer.open_model(NextSecrets, following.sealed, bound_to=work.id)


def test_the_next_attempt_waits_as_a_row(
    sealer: Sealer, make: WorkMaker, work: CallbackWork
) -> None:
    """Due after the delay, one attempt and one retry further, nobody waits for it."""
    row = make.again(work, 30.0, NOW)
    later = parse_work(row.message.body)
    assert isinstance(later, CallbackWork)
    assert (later.attempt, later.retries, later.reply) == (2, 1, None)
    assert later.id == work.id
    assert opened(sealer, later) == opened(sealer, work)
    assert (row.kind, row.chain_id, row.endpoint) == ("retry", "01C", work.endpoint)
    assert (row.due_at, row.created_at) == (NOW + timedelta(seconds=30), NOW)
    assert row.message.routing_key == Queues.CALLBACKS
    assert row.message.id == f"{row.id}:work" == f"{work.id}-retry-1:work"


def test_a_later_row_has_another_id(make: WorkMaker, work: CallbackWork) -> None:
    """Rows of two attempts cannot take each other's place, a repeat is the same row."""
    second = make.again(work, 5, NOW)
    later = parse_work(second.message.body)
    assert isinstance(later, CallbackWork)
    assert make.again(later, 5, NOW).id != second.id
    assert make.again(work, 30, NOW).id == second.id


def test_a_session_state_is_sealed_whole(sealer: Sealer, make: WorkMaker) -> None:
    """The session worker judges it; its id tells session, status and source apart."""
    intake = make.intake(SLOT, "acme", RESULT, "callback")
    secrets = sealer.open_model(IntakeSecrets, intake.sealed, bound_to=intake.id)
    assert secrets.result == RESULT.to_wire()
    assert "MARKER" not in intake.model_dump_json()
    done = result_of(RESULT.token, "DONE")
    other = result_of("TokenMARKER000000002")
    ids = {
        intake.id,
        make.intake(SLOT, "acme", RESULT, "poll").id,
        make.intake(SLOT, "acme", done, "callback").id,
        make.intake(SLOT, "acme", other, "callback").id,
    }
    assert len(ids) == 4
    assert make.intake(SLOT, "acme", RESULT, "callback").id == intake.id


def test_a_note_seals_the_token_and_what_was_proved(
    sealer: Sealer, make: WorkMaker
) -> None:
    """It marks a row that could not be marked at once."""
    note = make.note(SLOT, "acme", RESULT)
    secrets = sealer.open_model(NoteSecrets, note.sealed, bound_to=note.id)
    assert (secrets.token, secrets.result) == (RESULT.token, RESULT.to_wire())
    assert RESULT.token not in note.model_dump_json()


def test_a_start_is_the_same_message_whoever_asks_for_it() -> None:
    """Clock, gateway and session worker may all say it: one id, no secret."""
    message = start_message(SLOT, "acme")
    assert message == start_message(SLOT, "acme")
    work = parse_work(message.body)
    assert isinstance(work, StartWork)
    assert (work.chain_id, work.step, work.generation) == ("01C", 2, 1)
    assert message.routing_key == Queues.SESSIONS


def test_work_and_event_of_one_id_are_two_messages(work: CallbackWork) -> None:
    """Returns are matched by message id, so work has an id apart from its event."""
    assert work_message(work).id == f"{work.id}:work"
