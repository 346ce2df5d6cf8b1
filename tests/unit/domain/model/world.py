"""One chain with everything around it, which its clock keeps going."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from orchestrator.domain import handover, lookup, settling
from orchestrator.domain.chain import Slot, Step, StepState
from orchestrator.domain.handover import Due
from orchestrator.domain.lookup import Forwarded
from orchestrator.domain.ruling import preceding
from tests.unit.domain.model.irma import FINAL, LIFETIME
from tests.unit.domain.model.ledger import hold
from tests.unit.domain.model.state import Callback, Intake, Start
from tests.unit.domain.model.workers import BUDGET, Workers


class World(Workers):
    """All of it; the clock does what `workers/clock.py` does."""

    def clock(self, *, reachable: bool) -> None:
        """One beat; the backend may be away."""
        for row in self.ledger.take_due(self.now):
            match row.state:
                case StepState.OFFERED:
                    self.detach(row.slot)
                case StepState.DETACHED | StepState.STARTING:
                    self._start_due(row.slot)
                case StepState.FORWARDED if reachable:
                    self._find(row)
                case StepState.LIVE | StepState.COMPLETED if reachable:
                    self._poll(row)
                case _:
                    self.ledger.decide(row.slot, lookup.look_again, self.now)
        self.queue += self.waiting
        self.waiting.clear()

    def _start_due(self, slot: Slot) -> None:
        outcome = self.ledger.decide(
            slot,
            lambda v: handover.due_start(v, slot, wall_time=BUDGET.wall_time),
            self.now,
        )
        if outcome is Due.START:
            self.queue.append(Start(slot))

    def _find(self, row: Step) -> None:
        """What has the IRMA server stored of the step before a forwarded one?"""
        slot, before = row.slot, self.ledger.rows[preceding(row.slot)]
        found = self.irma.sessions[before.sealed_token or ""].stored(self.now)
        verdict = lookup.judge_forwarded(
            found,
            now=self.now,
            asked_at=before.completed_at or row.created_at,
            forwarded_at=row.forwarded_at or row.created_at,
            lives_until=lookup.lives_until(row, LIFETIME),
        )
        token = found.next_token or ""
        told = [message for message in self.waiting if message.slot == slot]
        if verdict is Forwarded.LOST and found.status is None and told:
            over = lookup.over(row, self.now, LIFETIME)
            verdict = Forwarded.LIVE if over else Forwarded.WAIT
            token = told[0].token
        if verdict is Forwarded.LIVE:
            self.found(slot, token)
        elif verdict is Forwarded.LOST:
            self.detached(slot, lambda v: lookup.found_lost(v, slot))
        else:
            self.ledger.decide(slot, lookup.look_again, self.now)

    def _poll(self, row: Step) -> None:
        """Was a final state stored whose callback never came?"""
        slot, token = row.slot, row.sealed_token or ""
        found = self.irma.sessions[token].stored(self.now)
        if found.status is None:
            self.ledger.decide(
                slot,
                lambda v: settling.settle_missing(v, slot, session_lifetime=LIFETIME),
                self.now,
            )
        elif found.status in FINAL:
            if self.ledger.decide(slot, lookup.report_due, self.now):
                self.queue.append(Intake(slot, token, found.status, stored=True))
        else:
            self.ledger.decide(slot, lookup.look_again, self.now)

    def flow(self) -> bool:
        """Something goes on as it should; False when there is nothing to be done."""
        if self.queue:
            message = self.queue.pop(0)
            if isinstance(message, Callback) and message.answer is None:
                self.queue.append(replace(message, answer="next"))
            else:
                self.handle(message, fate="known", owner="w1")
            return True
        for task in self.tasks:
            if task.token is None:
                self.begin(task, fate="known")
            else:
                self.go_live(task, fate="known")
            return True
        return False

    def recover(self) -> None:
        """Nothing goes wrong any more, users do nothing: everything comes to its end."""
        for _ in range(400):
            while self.flow():
                pass
            self.give_up()
            for handler in [h for h in self.irma.handlers if h.bridge is None]:
                self.store(handler, announced=False)
            self.check()
            self._check_given_up()
            self.clock(reachable=True)
            self.advance(timedelta(seconds=20))
            ended = all(row.state.ended for row in self.ledger.rows.values())
            if ended and not self.queue:
                break
        if self.ledger.chain.generation == 0:
            hold("G1: every chain comes to its end", not self.ledger.open)
            hold("H10: every event is told", self.ledger.owed <= self.ledger.told)

    def check(self) -> None:
        """What has to hold at every moment (G2 and the rows)."""
        self.ledger.check()
        alive = [session.slot for session in self.irma.alive(self.now)]
        hold("G2: one live session per slot", len(alive) == len(set(alive)))

    def _check_given_up(self) -> None:
        """Who can be used is what its row points to, once every message was handled."""
        for session in self.irma.alive(self.now):
            known = self.ledger.rows[session.slot].token_hash in {None, session.token}
            hold("G2: a session that was given up is cancelled", known)
