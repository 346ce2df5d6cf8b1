"""Users, the IRMA server's handlers, and the gateways they talk to.

A gateway does here what `gateway/bridge.py` does; what may go wrong is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from orchestrator.domain import claiming, handover, lookup
from orchestrator.domain.chain import Slot, Step, StepState, View
from orchestrator.domain.claiming import TakeIn
from orchestrator.domain.handover import Detach, Forward
from orchestrator.domain.lookup import Lookup
from orchestrator.domain.ruling import Ruling
from tests.unit.domain.model.irma import Handler, Session
from tests.unit.domain.model.ledger import hold
from tests.unit.domain.model.state import (
    Bridge,
    Callback,
    Intake,
    Note,
    Start,
    State,
    Wake,
)

BRIDGE_BUDGET: Final = timedelta(seconds=3.5)


class Gateways(State):
    """Where sessions report, and get their answers."""

    def prove(self, session: Session, *, mark: str) -> None:
        """A user proves; a chained session asks the bridge what follows."""
        self.irma.connect(session, self.now)
        handler = Handler(session.token, session.version, self.now, bridge=None)
        self.irma.handlers.append(handler)
        if session.chained:
            self.post(handler, mark=mark)

    def post(self, handler: Handler, *, mark: str) -> None:
        """A bridge POST: a gateway publishes the result and marks the row, or dies."""
        slot = self.irma.sessions[handler.token].slot
        self.posts += 1
        handler.bridge = self.posts
        deadline = self.now + BRIDGE_BUDGET
        self.queue.append(Callback(slot, handler.token, self.posts, deadline))
        if mark in {"marked", "both"}:
            self.ledger.told |= self.take_in(slot, handler.token)
        if mark in {"noted", "both"}:
            self.queue.append(Note(slot, handler.token))
        if mark != "crashed":
            self.bridges[self.posts] = Bridge(slot, handler.token, deadline)

    def store(self, handler: Handler, *, announced: bool) -> None:
        """A handler announces DONE, if its callback gets through, then stores it."""
        slot = self.irma.sessions[handler.token].slot
        if announced:
            self.queue.append(Intake(slot, handler.token, "DONE", stored=False))
            self.announced[handler.token] = Lookup(
                status="DONE", next_token=handler.next_token
            )
        self.irma.store(handler)

    def cancel(self, session: Session, *, announced: bool, stored: bool) -> None:
        """A DELETE; it is lost when a handler at work stores first."""
        if announced:
            self.queue.append(
                Intake(session.slot, session.token, "CANCELLED", stored=False)
            )
        if stored:
            self.irma.cancel(session, self.now)

    def announce_timeouts(self) -> None:
        """TIMEOUT is announced again at every look."""
        self.queue += [
            Intake(session.slot, session.token, "TIMEOUT", stored=False)
            for session in self.irma.sessions.values()
            if session.timed_out(self.now) and not session.lost
        ]

    def wake(self, message: Wake, *, fate: str) -> None:
        """A wake-up reaches its gateway, or comes back as nobody waits any more.

        The fate of the gateway's own claim may be "unknown" to it, or it dies after it.
        """
        row = message.slot
        if message.reply not in self.bridges:
            if message.wake == "offered":
                self.detach(row)
            return
        if message.wake != "offered":
            self._reply(message.reply, 502 if message.wake == "failed" else 204)
            return
        asking = self.bridges[message.reply]
        outcome = self.ledger.decide(
            asking.slot,
            lambda v: handover.forward(v, asking.slot, token_hash=asking.token),
            self.now,
        )
        if fate == "crashed":
            del self.bridges[message.reply]
        elif fate == "known" and outcome is Forward.FORWARDED:
            self._reply(message.reply, 200)
        else:
            self._reply(message.reply, 204)

    def tell(self, row: Step) -> None:
        """A requestor asks for a session's result, as in `gateway/sessions.py`."""
        following = self.ledger.rows.get(row.slot.following)
        if following is None or following.state is not StepState.FORWARDED:
            return
        found = self.looked_up(row.token_hash or "")
        token = found.next_token
        if found.status != "DONE" or token is None:
            return
        self.found(following.slot, token)
        live = self.ledger.rows[following.slot].token_hash == token
        reachable = self.irma.sessions[token].reachable
        hold("H1: an orphan is nobody's next session", not live or reachable)

    def looked_up(self, token: str) -> Lookup:
        """What the IRMA server has stored."""
        return self.irma.sessions[token].stored(self.now)

    def found(self, slot: Slot, token: str) -> None:
        """A forwarded session is known."""
        self.ledger.decide(
            slot,
            lambda v: lookup.found_live(v, slot, token_hash=token, sealed_token=token),
            self.now,
        )

    def give_up(self) -> None:
        """The gateways whose time is over answer, and whoever waits for nothing."""
        for reply, bridge in list(self.bridges.items()):
            if self.now >= bridge.deadline:
                self.detach(bridge.slot.following)
                self._reply(reply, 204)

    def _reply(self, reply: int, status: int) -> None:
        """The bridge answers; a handler that waits for it goes on, or fails."""
        bridge = self.bridges.pop(reply)
        for handler in [h for h in self.irma.handlers if h.bridge == reply]:
            handler.bridge = None
            if status == 502:
                self.irma.handlers.remove(handler)
            elif status == 200:
                handler.next_token = self.start(bridge.slot.following).token

    def take_in(self, slot: Slot, token: str) -> set[str]:
        """A proved result marks its row (rule H4)."""
        outcome, events = self.ledger.by_message(
            slot,
            lambda v: claiming.take_in(v, slot, token_hash=token, sealed_token=token),
            self.now,
        )
        if outcome is TakeIn.MARKED:
            self.marked.add(slot)
        return events

    def detach(self, slot: Slot) -> None:
        """The app is not waiting any more."""
        self.detached(slot, lambda v: handover.detach(v, slot))

    def detached(self, slot: Slot, rule: Callable[[View], Ruling[Detach]]) -> None:
        """Whoever detaches publishes the start (rule H5)."""
        if self.ledger.decide(slot, rule, self.now) is Detach.DETACHED:
            self.queue.append(Start(slot))

    def start(self, slot: Slot) -> Session:
        """The backend starts what the row asks for."""
        row = self.ledger.rows[slot]
        return self.irma.start(
            slot, self.now, chained=row.chained, timeout_s=row.session_timeout_s
        )
