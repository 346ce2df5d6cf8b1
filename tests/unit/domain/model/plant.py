"""The whole plant: what has to hold of it, and how it recovers at the end of a run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.chain import ChainState, StepState
from tests.unit.domain.model.fates import Fate
from tests.unit.domain.model.judge import check_rows, untold
from tests.unit.domain.model.ledger import Broken, hold
from tests.unit.domain.model.works import Works

#: A result was marked, but its backend may never have got a 2xx for it.
_TAKEN_IN: Final = frozenset({StepState.COMPLETED, StepState.FINISHED})

#: More messages than that are not left over by any run.
MESSAGES_MAX: Final = 100


class Plant(Works):
    """All of it."""

    async def check(self) -> None:
        """What has to hold at every moment."""
        for wrong in [*self.judged.wrongs, *self.endpoint.wrongs, *self.wrongs]:
            raise Broken(wrong)
        chain = await self.store.chain(self.chain_id)
        rows = await self.store.steps(self.chain_id)
        assert chain is not None
        check_rows(chain, rows)
        self._find_reachable([row.token_hash for row in rows if row.live_at])
        slots = [session.slot for session in self.alive()]
        hold("G2: one live session per slot", len(slots) == len(set(slots)))
        same = all(len(bodies) == 1 for bodies in self.endpoint.bodies.values())
        hold("G3: every attempt has the same result", same)
        one = all(len(names) == 1 for names in self.endpoint.names.values())
        hold("G3: every attempt has the same id", one)
        for attempts in self.endpoint.attempts.values():
            spent = attempts == set(range(1, len(attempts) + 1))
            hold("no attempt is spent on waiting", spent)

    def _find_reachable(self, hashes: list[str | None]) -> None:
        """Whose pointer stands in a row that is live can be scanned."""
        for session in self.irma.server.sessions.values():
            if self.shop.sealer.token_hash(session.token) in hashes:
                session.reachable = True

    async def recover(self) -> None:
        """Nothing goes wrong any more, users do nothing: everything comes to its end."""
        for point in list(self.points.waiting):
            answers = {"endpoint": "end", "start": "ok"}
            point.told.set_result(answers.get(point.kind))
        await self.points.settle()
        await self.resume()
        for _ in range(120):
            await self._all_goes_well()
            await self.check()
            due = await self._next_due()
            if due is None:
                break
            self.clock.now = max(due, self.now + timedelta(seconds=45))
            self.irma.server.age(self.now)
            await self.beat(Fate())
        await self._check_ended()

    async def _all_goes_well(self) -> None:
        server = self.irma.server
        for _ in range(MESSAGES_MAX):
            if not self.broker.queue:
                break
            await self.handle(self.broker.queue.pop(0), fate=Fate())
        hold("G1: every message is handled in the end", not self.broker.queue)
        for handler in list(server.handlers):
            if handler.bridge is None:
                server.store(handler)
            elif handler.bridge not in self.bridges:
                server.handlers.remove(handler)

    async def _next_due(self) -> datetime | None:
        """When somebody has something to do; None once there is nothing left."""
        rows = await self.store.steps(self.chain_id)
        waiting = await self.store.waiting(limit=99)
        due = [row.check_at for row in rows if row.check_at is not None]
        due += [self.now + timedelta(seconds=10)] if waiting else []
        return min(due, default=None)

    async def _check_ended(self) -> None:
        chain = await self.store.chain(self.chain_id)
        rows = await self.store.steps(self.chain_id)
        assert chain is not None
        ended = chain.state is not ChainState.RUNNING
        last = max(rows, key=lambda row: (row.slot.generation, row.slot.step))
        place = last.slot.step, last.slot.generation
        taken = last.state not in _TAKEN_IN or place in self.accepted
        hold("G1: every chain comes to its end", ended or not taken)
        missing = untold(rows, self.broker.told)
        hold(f"H10: every event is told, not {missing}", not missing)
        claims = {(r.slot.step - 1, r.slot.generation): r.answer_hash for r in rows}
        for step, answer in self.promised.items():
            hold("an answer that was taken counts", claims.get(step) == answer)
