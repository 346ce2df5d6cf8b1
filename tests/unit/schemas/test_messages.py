"""Work messages and wake-ups: the same after a round trip, clear about what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import JsonValue

from schemas.events import Purpose
from schemas.messages import (
    CallbackSecrets,
    CallbackWork,
    CancelWork,
    End,
    EndWork,
    IntakeSecrets,
    IntakeWork,
    MessageInvalid,
    NextSecrets,
    NextWork,
    NoteSecrets,
    NoteWork,
    NotifyWork,
    ReplyAddress,
    StartWork,
    Wake,
    WakeUp,
    Work,
    dump,
    parse_wake_up,
    parse_work,
)

REPLY = ReplyAddress(
    queue="gateway.one",
    correlation_id="c1",
    deadline=datetime(2026, 3, 29, 0, 59, 58, 765_432, tzinfo=UTC),
)

START = StartWork(
    id="C1-1-0-x-0", chain_id="C1", step=1, generation=0, requestor="acme", cause="C1-y"
)
OF_STEP = START.model_dump(exclude={"kind"})

CALLBACK = CallbackWork(
    **OF_STEP,
    purpose=Purpose.NEXT,
    endpoint="https://shop.example:443",
    session_type="disclosing",
    validity_s=120,
    attempt=3,
    retries=2,
    reply=REPLY,
    sealed="v1.k1.AAAA",
)

ALL: dict[str, Work] = {
    "callback": CALLBACK,
    "next": NextWork(**OF_STEP, endpoint="https://shop.example:443", sealed="v1.k1.A"),
    "end": EndWork(
        **OF_STEP, end=End.FAILED, reason="why", reply=REPLY, sealed="v1.k1.A"
    ),
    "intake": IntakeWork(**OF_STEP, source="poll", sealed="v1.k1.A"),
    "note": NoteWork(**OF_STEP, sealed="v1.k1.A"),
    "start": START,
    "cancel": CancelWork(**OF_STEP, until=REPLY.deadline, waits=2, sealed="v1.k1.A"),
    "notify": NotifyWork(
        **OF_STEP, validity_s=120, until=REPLY.deadline, sealed="v1.k1.A"
    ),
}

WAKE_UP = WakeUp(
    wake=Wake.OFFERED,
    chain_id="C1",
    step=2,
    generation=0,
    requestor="acme",
    cause="C1-y",
)


@pytest.mark.parametrize("kind", sorted(ALL))
def test_what_was_written_is_read_again(kind: str) -> None:
    """A round trip changes nothing, and the kind is said on the wire."""
    work = ALL[kind]
    assert parse_work(dump(work)) == work
    assert json.loads(dump(work))["kind"] == kind


def test_attempts_and_deadline_travel_in_the_message() -> None:
    """Any worker can make the next try: it needs nothing but the message."""
    read = parse_work(dump(CALLBACK))
    assert isinstance(read, CallbackWork)
    assert (read.attempt, read.retries, read.reply) == (3, 2, REPLY)


def test_absent_fields_are_left_out() -> None:
    """A first attempt starts at one, with nobody waiting for it."""
    fields = json.loads(dump(CALLBACK.model_copy(update={"reply": None})))
    assert "reply" not in fields
    del fields["attempt"], fields["retries"]
    read = parse_work(json.dumps(fields).encode())
    assert isinstance(read, CallbackWork)
    assert (read.attempt, read.retries, read.reply) == (1, 0, None)


@pytest.mark.parametrize("wake", list(Wake))
def test_wake_ups_are_read_again(wake: Wake) -> None:
    """Each of the five things a gateway can be told survives the wire."""
    wake_up = WAKE_UP.model_copy(update={"wake": wake})
    assert parse_wake_up(dump(wake_up)) == wake_up


@pytest.mark.parametrize(
    "changes,field",
    [
        ({"id": "MARKER.dots"}, "id"),
        ({"id": ""}, "id"),
        ({"step": 0}, "step"),
        ({"step": "MARKER"}, "step"),
        ({"generation": -1}, "generation"),
        ({"attempt": 0}, "attempt"),
        ({"retries": -1}, "retries"),
        ({"purpose": "MARKER"}, "purpose"),
        ({"reply": {"queue": "MARKER"}}, "reply.correlation_id"),
        ({"reply": REPLY.model_dump(mode="json") | {"deadline": "MARKER"}}, "deadline"),
        ({"sealed": None}, "sealed"),
        ({"url": "MARKER"}, "url"),
        ({"kind": "MARKER"}, "kind"),
    ],
)
def test_wrong_fields_are_named_without_their_values(
    changes: dict[str, JsonValue], field: str
) -> None:
    """The error says which field and why, and repeats nothing of what was refused."""
    fields = json.loads(dump(CALLBACK)) | changes
    with pytest.raises(MessageInvalid) as caught:
        parse_work(json.dumps(fields).encode())
    place, _, reason = str(caught.value).partition(": ")
    assert place.endswith(field)
    assert reason
    assert "MARKER" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", sorted(ALL))
def test_no_kind_of_work_takes_fields_it_does_not_know(kind: str) -> None:
    """A message of a newer version is refused as a whole, not half understood."""
    fields = json.loads(dump(ALL[kind])) | {"newer": 1}
    with pytest.raises(MessageInvalid, match="newer"):
        parse_work(json.dumps(fields).encode())


@pytest.mark.parametrize("body", [b"", b"MARKER", b"[]", b"\xff", b'{"id": "MARKER'])
def test_what_is_no_message_at_all_is_refused(body: bytes) -> None:
    """Any bytes get an error of ours, and none is repeated."""
    for parse in (parse_work, parse_wake_up):
        with pytest.raises(MessageInvalid) as caught:
            parse(body)
        assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize("field", ["wake", "chain_id", "step", "requestor", "kind"])
def test_wrong_fields_of_wake_ups_are_named(field: str) -> None:
    """A wake-up that cannot be read says why, without the value."""
    fields = json.loads(dump(WAKE_UP)) | {field: ["MARKER"]}
    with pytest.raises(MessageInvalid, match=f"^{field}: ") as caught:
        parse_wake_up(json.dumps(fields).encode())
    assert "MARKER" not in str(caught.value)


def test_a_wake_up_is_no_work_and_work_no_wake_up() -> None:
    """Each queue takes its own kind only."""
    with pytest.raises(MessageInvalid, match="kind"):
        parse_work(dump(WAKE_UP))
    with pytest.raises(MessageInvalid, match="kind"):
        parse_wake_up(dump(START))


def test_secrets_have_models_of_their_own() -> None:
    """What is sealed is never a field of the open part."""
    secrets = (CallbackSecrets, NextSecrets, IntakeSecrets, NoteSecrets)
    sealed_only = {name for model in secrets for name in model.model_fields}
    for work in ALL.values():
        assert not sealed_only & set(type(work).model_fields)
