"""The session workers: they do what `workers/session.py` and its desks do."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from orchestrator.domain import claiming, handover, lookup, settling
from orchestrator.domain.chain import Ending, Slot, Step, StepState, View
from orchestrator.domain.claiming import Budget, Claim, NextSession, Proved
from orchestrator.domain.handover import Lease, WentLive
from orchestrator.domain.ruling import Ruling, preceding, telling_overtaken
from orchestrator.domain.settling import Report, Settled
from schemas.messages import End
from tests.unit.domain.model.gateways import Gateways
from tests.unit.domain.model.irma import LIFETIME, Session
from tests.unit.domain.model.ledger import hold
from tests.unit.domain.model.state import (
    Callback,
    Cancel,
    Intake,
    Message,
    Note,
    Start,
    Task,
    Wake,
    Work,
)

BUDGET: Final = Budget(steps_max=3, wall_time=timedelta(hours=2))

#: What endpoints answer: a chained session, another one, a last one, or an end.
SESSIONS: Final = {"next": (True, 0), "rival": (True, 60), "last": (False, 0)}
ENDINGS: Final = {"end": End.COMPLETED, "failed": End.FAILED}


class Workers(Gateways):
    """Who claims, settles and starts."""

    def handle(self, message: Message, *, fate: str, owner: str) -> None:
        """A session worker, or a gateway, handles a message.

        With the fate "crashed" a worker has decided, nothing else follows from that, and
        the message comes again; a gateway's reply queue dies with it.
        """
        if isinstance(message, Wake):
            self.wake(message, fate=fate)
            return
        events, more = self._decided(message, owner)
        if fate == "crashed":
            self.queue.append(message)
            return
        self.ledger.told |= events
        self.queue += more

    def _decided(self, message: Work, owner: str) -> tuple[set[str], list[Message]]:
        """The events that go out now, and the messages that follow."""
        match message:
            case Callback():
                return self._claim(message)
            case Intake():
                self._judge(message)
                return set(), []
            case Note(slot, token):
                return self.take_in(slot, token), []
            case Start(slot):
                return self._lease(slot, owner), []
            case Cancel(_, token):
                self._cancel(self.irma.sessions[token])
                return set(), []

    def _claim(self, message: Callback) -> tuple[set[str], list[Message]]:
        """The endpoint's answer claims the slot after the step."""
        slot, answer = message.slot, message.answer or "end"
        proved = Proved(
            token_hash=message.token,
            sealed_token=message.token,
            sealed_result=f"result of {message.token}",
        )
        cause = f"answered-{slot.step}-{answer}"
        (outcome, given_up), events = self.ledger.by_message(
            slot,
            lambda v: telling_overtaken(v, _claimed(v, message, answer, proved, cause)),
            self.now,
        )
        self._give_up(given_up)
        row = slot.following
        offered = outcome in {Claim.OFFERED, Claim.MINE_OFFERED}
        failed = outcome is Claim.ENDED and answer != "end"
        wake = "offered" if offered else "failed" if failed else "later"
        more: list[Message] = [Wake(row, message.reply, wake)]
        if outcome in {Claim.DETACHED, Claim.MINE_DETACHED}:
            more.append(Start(row))
        return events, more

    def _judge(self, message: Intake) -> None:
        """A final state is settled, or waits until its session is known."""
        slot = message.slot
        report = Report(
            status=message.status,
            proof_status="VALID" if message.status == "DONE" else None,
            token_hash=message.token,
            sealed_token=message.token,
            sealed_result=f"{message.status} of {message.token}",
            stored=message.stored,
        )
        row = self.ledger.rows.get(slot)
        was_open = self.ledger.open
        outcome, given_up = self.ledger.decide(
            slot,
            lambda v: telling_overtaken(v, settling.settle(v, slot, report)),
            self.now,
        )
        self._give_up(given_up)
        if row and was_open and not self.ledger.open and not report.proved:
            self._check_bad_end(message, row)
        if outcome is Settled.UNRESOLVED:
            self._look_soon(slot)
            self.waiting.append(message)
        elif message.status == "DONE":
            self._look_soon(slot.following)

    def _give_up(self, row: Step | None) -> None:
        """Another session of the step was proved: the row's own is to be cancelled.

        That goes out with the transaction, as nothing else knows the session any more.
        """
        if row is None:
            return
        token = row.token_hash or ""
        hold("H3: who proved first goes on", not self.irma.at_work(token))
        self.queue.append(Cancel(row.slot, token))

    def _cancel(self, session: Session) -> None:
        """Nobody has to do it again once it was done, or cannot be done any more."""
        if session.alive(self.now):
            self.cancel(session, announced=True, stored=True)

    def _check_bad_end(self, message: Intake, row: Step) -> None:
        """CANCELLED and TIMEOUT end a chain only if no other session goes on (H3).

        When no session of a forwarded step can live any more, any of them speaks for it,
        but only if nothing is stored that could tell whose it is (H1).
        """
        session = self.irma.sessions[message.token]
        before = self.ledger.rows.get(preceding(message.slot))
        stored = before and self.irma.sessions[before.token_hash or ""].stored(self.now)
        speaks = lookup.over(row, self.now, LIFETIME) and not (stored and stored.status)
        hold("H3: an orphan ends no chain", session.reachable or speaks)
        healthy = [
            other
            for other in self.irma.sessions.values()
            if other.slot == message.slot and other is not session and other.reachable
            if other.alive(self.now) or other.status == "DONE"
        ]
        hold("H3: only the row's session ends a chain badly", not healthy)
        hold("H3: a completed step ends no chain", message.slot not in self.marked)

    def _look_soon(self, slot: Slot) -> None:
        self.ledger.by_message(slot, lookup.look_soon, self.now)

    def _lease(self, slot: Slot, owner: str) -> set[str]:
        outcome, events = self.ledger.by_message(
            slot, lambda v: handover.lease_start(v, slot, owner=owner), self.now
        )
        if outcome is Lease.MINE:
            self.tasks.append(Task(slot, owner))
        return events

    def begin(self, task: Task, *, fate: str) -> None:
        """The backend is asked for the session, but it may be away, or refuse."""
        slot, owner = task.slot, task.owner
        if fate not in {"away", "refused"}:
            task.token = self.start(slot).token
            return
        self.tasks.remove(task)
        if fate == "away":
            self.ledger.decide(
                slot, lambda v: handover.start_later(v, owner=owner), self.now
            )
        else:
            self.ledger.decide(
                slot,
                lambda v: handover.start_refused(v, slot, owner=owner, reason="no"),
                self.now,
            )

    def go_live(self, task: Task, *, fate: str) -> None:
        """The worker writes that its session is live; it may not learn whether it did.

        With an "unknown" fate it does the same again later (rule H8).
        """
        slot, token = task.slot, task.token or ""
        outcome = self.ledger.decide(slot, partial(_live, task=task), self.now)
        if outcome is WentLive.LIVE:
            again = self.ledger.rows[slot].state is StepState.LIVE and slot in self.marked
            hold("H4: what was taken in is not started again", not again)
            self.irma.sessions[token].reachable = True
        if fate == "unknown":
            return
        self.tasks.remove(task)
        if outcome is WentLive.SUPERSEDED:
            theirs = self.ledger.rows[slot].token_hash
            hold("H8: nobody cancels the session that is announced", token != theirs)
            session = self.irma.sessions[token]
            self.cancel(session, announced=True, stored=session.alive(self.now))


def _claimed(
    view: View, message: Callback, answer: str, proved: Proved, cause: str
) -> Ruling[Claim]:
    if answer in ENDINGS:
        return claiming.claim_end(
            view,
            message.slot,
            Ending(end=ENDINGS[answer], cause=cause),
            proved=proved,
            answer_hash=answer,
        )
    chained, timeout_s = SESSIONS[answer]
    return claiming.claim_next(
        view,
        message.slot,
        NextSession(
            session_type="disclosing",
            attributes=(),
            chained=chained,
            timeout_s=timeout_s,
            sealed_request=answer,
            sealed_prepared=answer,
        ),
        proved,
        answer_hash=answer,
        cause=cause,
        deadline=message.deadline,
        budget=BUDGET,
    )


def _live(view: View, task: Task) -> Ruling[WentLive]:
    return handover.went_live(
        view,
        task.slot,
        owner=task.owner,
        token_hash=task.token or "",
        sealed_token=task.token or "",
        sealed_package=task.token or "",
    )
