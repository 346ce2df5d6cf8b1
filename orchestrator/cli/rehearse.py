"""`chainctl replay rehearse`: what another endpoint would make of recorded results.

It POSTs from this process, page by page, and keeps nothing but counts.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from ulid import ULID

from orchestrator.app.callback import make_egress, make_policies
from orchestrator.app.signing import signing
from orchestrator.app.tools import make_requestors
from orchestrator.callbacks import HttpCaller
from orchestrator.cli.asking import agreed
from orchestrator.cli.replay import planner_of
from orchestrator.cli.replay_asked import Asked, by_option
from orchestrator.cli.replay_shown import show_selected
from orchestrator.cli.timeline import plain
from orchestrator.domain.errors import Refused
from orchestrator.domain.failing import Failure
from orchestrator.domain.rehearsing import Verdict, was
from orchestrator.domain.replaying import ReplayKind
from orchestrator.domain.selecting import Selected, check_all, endpoint_of
from orchestrator.planning import Planner
from orchestrator.ports import utc_now
from orchestrator.rows import RowSecrets
from orchestrator.settings import Settings
from workers.rehearsing import NotRehearsed, Rehearser

#: POSTs side by side.
AT_ONCE: Final = 8

#: As many chains as are named of each group.
EXAMPLES: Final = 3


@dataclass
class Compared:
    """How two endpoints decide: counts by what one did and the other would do."""

    counts: Counter[tuple[Verdict, Verdict]] = field(default_factory=Counter)
    examples: dict[tuple[Verdict, Verdict], list[str]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, failure: Failure, would: Verdict | NotRehearsed) -> None:
        """Count one more."""
        if isinstance(would, NotRehearsed):
            self.skipped[would.reason] += 1
            return
        pair = was(failure), would
        self.counts[pair] += 1
        named = self.examples.setdefault(pair, [])
        if len(named) < EXAMPLES:
            named.append(failure.slot.chain_id)

    @property
    def same(self) -> int:
        """How many would fail in the same way."""
        return sum(n for (old, new), n in self.counts.items() if old == new)

    @property
    def posted(self) -> int:
        """How many results were POSTed."""
        return self.counts.total()

    def told(self, endpoint: str) -> dict[str, JsonValue]:
        """What `--json` tells."""
        skipped: dict[str, JsonValue] = {**self.skipped}
        return {
            "endpoint": endpoint,
            "posted": self.posted,
            "same": self.same,
            "differs": self.posted - self.same,
            "notPosted": skipped,
            "groups": [
                {
                    "was": str(old),
                    "wouldBe": str(new),
                    "same": old == new,
                    "chains": count,
                    "examples": [*self.examples[old, new]],
                }
                for (old, new), count in self.counts.most_common()
            ],
        }


async def rehearse(
    settings: Settings,
    asked: Asked,
    shadow: str,
    *,
    every: bool,
    limit: int | None,
    pace: float,
    yes: bool,
    as_json: bool,
) -> None:
    """POST what a selection has recorded to a candidate, and compare the decisions."""
    with by_option():
        origin = endpoint_of(shadow, field="shadow") or ""
        selection = asked.selection()
        async with planner_of(settings) as planner:
            which = planner.meant(selection)
            check_all(which, every=every)
            selected = await planner.selected(which)
            if not as_json:
                show_selected(selected)
            count = selected.some_for(ReplayKind.REPLAY)
            count = count if limit is None else min(count, limit)
            question = f"POST the results of {count} chains to {origin}?"
            if not agreed(question, yes=yes):
                print("nothing was POSTed")
                return
            async with _rehearser(settings, planner, shadow) as rehearser:
                compared = await _compare(
                    planner, rehearser, selected, count, pace, quiet=as_json
                )
    if as_json:
        print(json.dumps(compared.told(origin)))
    else:
        _show(compared, origin)


@asynccontextmanager
async def _rehearser(
    settings: Settings, planner: Planner, shadow: str
) -> AsyncIterator[Rehearser]:
    """What POSTs as the callback worker does: by the same settings."""
    limits = settings.callbacks
    async with (
        signing(settings) as signer,
        HttpCaller.open(
            make_egress(settings),
            answer_bytes_max=limits.answer_bytes_max,
            connect_timeout_s=limits.connect_timeout_s,
            read_timeout_s=limits.read_timeout_s,
        ) as caller,
    ):
        yield Rehearser(
            store=planner.store,
            rows=RowSecrets(sealer=planner.sealer),
            caller=caller,
            signer=signer,
            requestors=make_requestors(settings),
            policies=make_policies(settings),
            clock=utc_now,
            random=random.random,
            url=shadow,
            name=f"rehearsal-{ULID()}",
            timeout_s=limits.timeout_s,
            augment=settings.augment_client_return_url,
        )


async def _compare(
    planner: Planner,
    rehearser: Rehearser,
    selected: Selected,
    count: int,
    pace: float,
    *,
    quiet: bool,
) -> Compared:
    """A few at a time, no more of them a second than the pace allows."""
    compared, after, left = Compared(), 0, count
    at_once = min(AT_ONCE, max(1, int(pace)))
    loop = asyncio.get_running_loop()
    with Progress(console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("rehearsing", total=count)
        while left > 0:
            begun = loop.time()
            page = await planner.store.replays.claimable(
                selected.which, selected.cut_off, after=after, limit=min(at_once, left)
            )
            if not page:
                break
            await _rehearse(rehearser, [one.failure for one in page], compared)
            after, left = page[-1].number, left - len(page)
            progress.advance(task, len(page))
            if left:
                await asyncio.sleep(max(begun + len(page) / pace - loop.time(), 0))
    return compared


async def _rehearse(
    rehearser: Rehearser, failures: Sequence[Failure], compared: Compared
) -> None:
    for failure, would in zip(
        failures,
        await asyncio.gather(*(_would(rehearser, one) for one in failures)),
        strict=True,
    ):
        compared.add(failure, would)


async def _would(rehearser: Rehearser, failure: Failure) -> Verdict | NotRehearsed:
    try:
        return await rehearser.rehearse(failure)
    except Refused as error:
        return NotRehearsed(
            reason=f"its secrets cannot be opened ({type(error).__name__})"
        )


def _show(compared: Compared, origin: str) -> None:
    table = Table(box=None, header_style="dim")
    table.add_column("chains", justify="right", no_wrap=True)
    for name in ("was", "would be", "e.g."):
        table.add_column(name, no_wrap=True)
    for (old, new), count in compared.counts.most_common():
        would = Text("the same" if old == new else plain(str(new)))
        table.add_row(str(count), str(old), would, compared.examples[old, new][0])
    if compared.posted:
        Console().print(table)
    for reason, count in compared.skipped.most_common():
        print(f"{count} not POSTed: {reason}")
    differs = compared.posted - compared.same
    print(
        f"{compared.posted} POSTed to {origin}: {differs} would be decided otherwise,"
        f" {compared.same} in the same way; nothing was changed"
    )
