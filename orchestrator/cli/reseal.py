"""`chainctl keys reseal`: what an older key has sealed is sealed with the current one.

A page of rows is locked, opened, sealed and written in one transaction; processes may go
on meanwhile, as the older key still opens what they have read before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Console
from rich.progress import Progress

from orchestrator.app.tools import make_sealer
from orchestrator.cli.keys import counted
from orchestrator.domain.chain import Slot, Step
from orchestrator.domain.errors import OrchestratorError, SealBroken, SealKeyUnknown
from orchestrator.domain.replaying import url_bound_to
from orchestrator.ports import Store, Waiting
from orchestrator.sealing import Sealer, keys_in
from orchestrator.settings import Settings
from schemas.messages import MessageInvalid, dump, parse_work

#: Rows of one transaction: on SQLite nobody else writes meanwhile.
PAGE: Final = 50

#: Rows that were being written are met by the next round.
ROUNDS_MAX: Final = 3


async def reseal_rows(settings: Settings, *, as_json: bool) -> None:
    """Seal what an older key has sealed with the current one.

    Raises:
        OrchestratorError: rows are left that name another key, and how many.
    """
    sealer = make_sealer(settings)
    async with counted(settings) as store:
        await store.note_keys(used=[sealer.key_id])
        due = others(await store.sealed_rows(), sealer.key_id)
        done, left = 0, due
        with Progress(console=Console(stderr=True), disable=as_json) as progress:
            task = progress.add_task("sealing anew", total=due)
            for _ in range(ROUNDS_MAX):
                if not left:
                    break
                done += await Resealing(store, sealer).run(
                    lambda count: progress.advance(task, count)
                )
                left = others(await store.sealed_rows(), sealer.key_id)
    if as_json:
        print(json.dumps({"key": sealer.key_id, "resealed": done, "left": left}))
    else:
        print(f"{done} rows were sealed anew with {sealer.key_id}")
    if left:
        raise OrchestratorError(
            f"{left} rows still name another key: they are in use just now, or their key"
            " is not here; see `chainctl keys list`"
        )


def others(rows: Mapping[str, Mapping[str, int]], current: str) -> int:
    """How many rows name another key, each once for each of them."""
    return sum(
        sum(tables.values()) for key_id, tables in rows.items() if key_id != current
    )


@dataclass(frozen=True)
class Resealing:
    """One round over all rows."""

    store: Store
    sealer: Sealer

    async def run(self, advance: Callable[[int], None]) -> int:
        """Go through all pages; returns how many rows were written."""
        done = 0
        last: Slot | None = None
        while True:
            last, changed = await self.store.reseal_steps(
                self.step, after=last, limit=PAGE
            )
            done += changed
            advance(changed)
            if last is None:
                break
        number: int | None = 0
        while number is not None:
            number, changed = await self.store.reseal_waiting(
                self.body, after=number, limit=PAGE
            )
            done += changed
            advance(changed)
        replay_id: str | None = ""
        while replay_id is not None:
            replay_id, changed = await self.store.replays.reseal(
                self.url, after=replay_id, limit=PAGE
            )
            done += changed
            advance(changed)
        return done

    def url(self, replay_id: str, sealed: str) -> str:
        """The other URL of a plan, sealed anew."""
        return self._resealed(sealed, url_bound_to(replay_id))

    def step(self, row: Step) -> Step:
        """A row with its secrets sealed anew; what cannot be opened stays as it is."""
        return replace(
            row,
            sealed_request=self._column(row, "request", row.sealed_request),
            sealed_prepared=self._column(row, "prepared", row.sealed_prepared),
            sealed_package=self._column(row, "package", row.sealed_package),
            sealed_token=self._column(row, "token", row.sealed_token),
            sealed_result=self._column(row, "result", row.sealed_result),
        )

    def body(self, row: Waiting) -> bytes:
        """A message with its secrets sealed anew; one without any stays as it is."""
        body = row.message.body
        if keys_in(body) <= {self.sealer.key_id}:
            return body
        try:
            work = parse_work(body)
        except MessageInvalid:
            return body
        sealed: str | None = getattr(work, "sealed", None)
        if sealed is None:
            return body
        return dump(work.model_copy(update={"sealed": self._resealed(sealed, work.id)}))

    def _column(self, row: Step, name: str, sealed: str | None) -> str | None:
        return (
            None if sealed is None else self._resealed(sealed, row.slot.sealed_as(name))
        )

    def _resealed(self, sealed: str, bound_to: str) -> str:
        try:
            return self.sealer.resealed(sealed, bound_to=bound_to)
        except (SealBroken, SealKeyUnknown):
            return sealed
