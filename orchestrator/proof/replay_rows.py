"""Chains for the proof of replays, as rows: a wallet would take ten times as long.

A chain begins with its session proved: the rows are as they are when a gateway has taken
the result in, and the callback's work goes to the queue as the gateway sends it. What
follows is the product's: callback workers, session worker, failures. Chains that have
failed already are written as the session worker leaves them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert
from ulid import ULID

from orchestrator.app.tools import make_sealer
from orchestrator.domain import happenings
from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.domain.endpoint import origin_of
from orchestrator.domain.failing import Failure, FailureKind, FailureReason
from orchestrator.local.stack import REQUESTOR, Stack
from orchestrator.ports import Message, event_message, utc_now, work_message
from orchestrator.proof.callbacks import result_of
from orchestrator.proof.lab import disclosure
from orchestrator.rows import RowSecrets
from orchestrator.settings import load_settings
from orchestrator.store import failures
from orchestrator.store.database import Database, open_database
from orchestrator.store.rows import chain_values, step_values
from orchestrator.store.tables import chains, steps
from orchestrator.work import WorkMaker
from schemas.events import Purpose
from schemas.irma import SessionRequest, SessionResult, session_request_from

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Chains of one transaction.
AT_ONCE: Final = 500

_BACKEND: Final = "irma"
_PATIENCE_S: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A chain whose session was proved: its id, and what the gateway would publish."""

    chain_id: str
    messages: Sequence[Message]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Writes chains into the database of an installation."""

    database: Database
    secrets: RowSecrets
    make: WorkMaker

    @classmethod
    @asynccontextmanager
    async def of(cls, stack: Stack) -> AsyncIterator[Rows]:
        """For an installation."""
        sealer = make_sealer(load_settings(stack.config_file, {}))
        url = stack.database_url
        async with open_database(url, patience_s=_PATIENCE_S) as database:
            yield cls(
                database=database,
                secrets=RowSecrets(sealer=sealer),
                make=WorkMaker(sealer=sealer),
            )

    async def begin(self, urls: Sequence[str]) -> list[Begun]:
        """Chains whose next session comes from these URLs."""
        now = utc_now()
        begun, written = [], []
        for url in urls:
            chain, step, messages = self._begun(url, now)
            begun.append(Begun(chain_id=chain.id, messages=messages))
            written.append((chain, (step,), None))
        await self._write(written)
        return begun

    async def failed(self, urls: Sequence[str]) -> list[str]:
        """Chains that failed, each as its endpoint answered with 404."""
        ids = []
        for start in range(0, len(urls), AT_ONCE):
            now = utc_now()
            some = [self.one_failed(url, now) for url in urls[start : start + AT_ONCE]]
            await self._write(some)
            ids += [chain.id for chain, _, _ in some]
        return ids

    def one_failed(self, url: str, now: datetime) -> Written:
        """A chain that failed then."""
        chain, step, _ = self._begun(url, now)
        text = "unexpected status 404"
        over = replace(chain, state=ChainState.FAILED, ended_at=now, reason=text)
        slot, ends = step.slot, StepState.END
        end = Step(slot=slot.following, state=ends, created_at=now, check_at=None)
        failure = Failure(
            slot=slot,
            requestor=REQUESTOR,
            kind=FailureKind.CALLBACK,
            reason=FailureReason.UNEXPECTED_STATUS,
            text=text,
            endpoint=origin_of(url),
            status=404,
            failed_at=now,
        )
        result = self.secrets.seal_result(slot, result_of(_token(chain.id)))
        return over, (replace(step, sealed_result=result), end), failure

    def _begun(self, url: str, now: datetime) -> tuple[Chain, Step, list[Message]]:
        slot = Slot(chain_id=str(ULID()), step=1)
        chain = Chain(
            id=slot.chain_id,
            requestor=REQUESTOR,
            backend=_BACKEND,
            state=ChainState.RUNNING,
            generation=0,
            created_at=now,
        )
        request = session_request_from(disclosure(url))
        result = result_of(_token(chain.id))
        first = happenings.chain_started(chain, slot)
        step = self._proved(slot, request, result, first.id, now)
        work = self.make.callback(
            slot,
            REQUESTOR,
            result,
            purpose=Purpose.NEXT,
            url=url,
            validity_s=request.validity,
        )
        done = happenings.session_completed(slot, REQUESTOR, result, work.id, now)
        # Of a session's start nobody was told: the chain's own is the cause.
        told = done.model_copy(update={"causationid": first.id})
        messages = [event_message(first), event_message(told), work_message(work)]
        return chain, step, messages

    def _proved(
        self,
        slot: Slot,
        request: SessionRequest,
        result: SessionResult,
        cause: str,
        now: datetime,
    ) -> Step:
        """The row of a session that is DONE at its backend: nobody looks there again."""
        return Step(
            slot=slot,
            state=StepState.FINISHED,
            session_type=request.type,
            cause=cause,
            created_at=now,
            check_at=None,
            completed_at=now,
            live_at=now,
            chained=True,
            announced=True,
            token_hash=self.secrets.sealer.token_hash(result.token),
            final_status="DONE",
            sealed_request=self.secrets.seal_request(slot, request),
            sealed_token=self.secrets.seal_token(slot, result.token),
        )

    async def _write(self, written: Iterable[Written]) -> None:
        rows = list(written)

        def act(connection: Connection) -> None:
            of_chains = [chain_values(chain) for chain, _, _ in rows]
            of_steps = [step_values(step) for _, each, _ in rows for step in each]
            connection.execute(insert(chains), of_chains)
            connection.execute(insert(steps), of_steps)
            for _, _, failure in rows:
                if failure is not None:
                    failures.add(connection, failure)

        await self.database.write(act)


#: A chain, its steps, and how it has failed.
Written = tuple[Chain, tuple[Step, ...], Failure | None]


def _token(chain_id: str) -> str:
    """As long as an IRMA server's requestor token; each chain has another."""
    return chain_id[-20:]
