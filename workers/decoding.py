"""Reads a delivery as the kind of work a queue takes."""

from __future__ import annotations

from orchestrator.domain.errors import Undecodable
from orchestrator.ports import Delivery
from schemas.messages import (
    CallbackWork,
    MessageInvalid,
    SessionWork,
    TriedWork,
    Work,
    parse_work,
)


def callback_work(delivery: Delivery) -> CallbackWork:
    """A message of the queue `callbacks`.

    Raises:
        Undecodable: it is none; the text names field and reason.
    """
    work = _work(delivery)
    if not isinstance(work, CallbackWork):
        raise _misplaced(work)
    return work


def tried_work(delivery: Delivery) -> TriedWork:
    """A message of the queue `callbacks.events`.

    Raises:
        Undecodable: it is none; the text names field and reason.
    """
    work = _work(delivery)
    if not isinstance(work, TriedWork):
        raise _misplaced(work)
    return work


def session_work(delivery: Delivery) -> SessionWork:
    """A message of the queue `sessions`.

    Raises:
        Undecodable: it is none; the text names field and reason.
    """
    work = _work(delivery)
    if isinstance(work, TriedWork):
        raise _misplaced(work)
    return work


def _work(delivery: Delivery) -> Work:
    try:
        return parse_work(delivery.body)
    except MessageInvalid as error:
        raise Undecodable(str(error)) from None


def _misplaced(work: Work) -> Undecodable:
    return Undecodable(f"kind: {work.kind} does not belong into this queue")
