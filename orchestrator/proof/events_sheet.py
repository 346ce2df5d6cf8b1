"""What is told of the subscribers: tables, promises, figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from orchestrator.proof.events_books import Played
from orchestrator.proof.events_expected import Expected
from orchestrator.proof.events_faults import LONG_AWAY, long_away
from orchestrator.proof.events_judging import Verdict, judge, went_wrong
from orchestrator.proof.events_subscribers import Subscriber, Way
from orchestrator.proof.outage_judging import verdict
from orchestrator.proof.report import Promise, Report, Sheet

_COLUMNS: Final = (
    "subscriber",
    "of",
    "cut off",
    "away s",
    "chains away",
    "longest silence s",
    "to see",
    "seen",
    "came again",
    "missing",
    "duplicated",
    "out of order",
    "gaps",
    "foreign",
)


#: Of three.
_CUT_OFF: Final = 2

_KILLS: Final = 2

#: As many as the last line has.
_FAULTS_MAX: Final = 30

#: More than these, and the machine was too busy to prove anything.
_BLURRED_MAX: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything at the end of a run.

    Attributes:
        cuts: how often each that is cut off was to be.
        doubts: kills of a history worker that was not the one at work.
        lasted_s: from the first chain to the end of the last for its user.
        caught_up_s: how long subscribers needed after that.
        died: processes that ended though nobody had stopped them.
    """

    asked: int
    played: Sequence[Played]
    refused: Sequence[str]
    expected: Mapping[str, Expected]
    subscribers: Sequence[Subscriber]
    cuts: int
    kills: int
    doubts: Sequence[str]
    lasted_s: float
    caught_up_s: float
    died: Sequence[str]


def report(found: Found) -> Report:
    """Each subscriber against the journals of those who took part."""
    judged = [
        (one, judge(one.requestor, one.seen, found.expected)) for one in found.subscribers
    ]
    return Report(
        proof="events",
        promises=[*_run_promises(found), *_promises(judged)],
        sheets=[_scripts(found), _subscribers(judged)],
        figures=_figures(found, judged),
    )


def _run_promises(found: Found) -> list[Promise]:
    """What the rest would prove nothing without."""
    requestors = {one.requestor for one in found.played}
    blurred = sum(one.cut_off for one in found.played)
    too_many = blurred > _BLURRED_MAX * found.asked
    return [
        verdict(
            "every chain goes as wallet and endpoint were told",
            f"{len(found.played):,} chains of {len(requestors)} requestors",
            _not_played(found),
        ),
        verdict(
            f"at most {_BLURRED_MAX:.0%} of apps are cut off by their IRMA server",
            f"{blurred} were",
            ["the machine is too busy"] if too_many else [],
        ),
        verdict(
            "two of three subscribers of each kind are cut off again and again",
            f"{sum(one.cuts for one in found.subscribers)} times in all",
            _not_cut_off(found),
        ),
        verdict(
            "two of each kind that has a place to go on from are away for long",
            f"while {long_away(found.asked):,} chains are played",
            _not_away(found),
        ),
        verdict(
            f"the active history worker is killed {_KILLS} times",
            f"{found.kills} times",
            found.doubts if found.kills == _KILLS else ["too seldom"],
        ),
        verdict("no process dies by itself", "all run", found.died),
    ]


def _not_played(found: Found) -> list[str]:
    wrong = [*found.refused, *went_wrong(found.played, found.expected)]
    if len(found.played) < found.asked:
        wrong.append(f"{len(found.played)} chains, not {found.asked}")
    return wrong


def _not_cut_off(found: Found) -> list[str]:
    """Of each kind two were cut off as often as was said."""
    often = Counter(one.way for one in found.subscribers if one.cuts >= found.cuts)
    return [f"{way}: {often[way]}" for way in Way if often[way] != _CUT_OFF]


def _not_away(found: Found) -> list[str]:
    long = long_away(found.asked)
    away = Counter(one.way for one in found.subscribers if one.chains_away >= long)
    return [f"{way}: {away[way]}" for way in LONG_AWAY if away[way] != _CUT_OFF]


def _promises(judged: Sequence[tuple[Subscriber, Verdict]]) -> list[Promise]:
    """One for each kind of subscriber, and what server-sent events promise besides."""
    promises = []
    for way in Way:
        ours = [(one, found) for one, found in judged if one.way is way]
        faults = [
            f"{one.requestor}: {fault}" for one, found in ours for fault in found.faults
        ]
        idle = [one.requestor for one, found in ours if not found.expected]
        faults += [f"{requestor}: nothing to see" for requestor in idle]
        seen = "; ".join(_seen(one, found) for one, found in ours)
        name = f"{way}: nothing missing, double, out of order or foreign"
        promises.append(verdict(name, seen, faults))
    again = [one for one, _ in judged if one.way is Way.SSE and one.again]
    told = [f"{one.requestor}: {one.again} came again" for one in again]
    return [*promises, verdict("SSE tells nothing twice", "nothing came again", told)]


def _seen(one: Subscriber, found: Verdict) -> str:
    return f"{one.requestor} {found.seen:,} of {found.expected:,}"


def _scripts(found: Found) -> Sheet:
    """What the chains were, by script."""
    chains = Counter(one.script.name for one in found.played)
    events: Counter[str] = Counter()
    for one in found.played:
        events[one.script.name] += found.expected[one.chain_id].events.total()
    scripts = {one.script.name: one.script for one in found.played}
    rows = [
        (name, ", ".join(script.ends), f"{chains[name]:,}", f"{events[name]:,}")
        for name, script in scripts.items()
    ]
    columns = ("chains", "sessions end with", "count", "events")
    return Sheet(title="chains", columns=columns, rows=rows)


def _subscribers(judged: Sequence[tuple[Subscriber, Verdict]]) -> Sheet:
    rows = []
    for one, found in judged:
        rows.append(
            [
                one.way,
                one.requestor,
                str(one.cuts),
                f"{one.away_s:.0f}",
                f"{one.chains_away:,}",
                f"{one.silence_s:.1f}",
                f"{found.expected:,}",
                f"{found.seen:,}",
                f"{one.again:,}",
                *map(str, found.counts.values()),
            ]
        )
    return Sheet(title="subscribers", columns=_COLUMNS, rows=rows)


def _figures(
    found: Found, judged: Sequence[tuple[Subscriber, Verdict]]
) -> dict[str, JsonValue]:
    totals: Counter[str] = Counter()
    for _, found_of in judged:
        totals.update(found_of.counts)
    subscribers: dict[str, JsonValue] = {
        f"{one.way} of {one.requestor}": _figures_of(one, found_of)
        for one, found_of in judged
    }
    events = sum(one.events.total() for one in found.expected.values())
    return {
        "chains": len(found.played),
        "events": events,
        "chains_per_s": round(len(found.played) / found.lasted_s, 2),
        "lasted_s": round(found.lasted_s, 1),
        "caught_up_s": round(found.caught_up_s, 1),
        "blurred": sum(one.cut_off for one in found.played),
        "kills": found.kills,
        **totals,
        "subscribers": subscribers,
        "faults": [*_most_seen(judged)],
    }


def _figures_of(one: Subscriber, found: Verdict) -> dict[str, JsonValue]:
    return {
        "cuts": one.cuts,
        "away_s": round(one.away_s, 1),
        "chains_away": one.chains_away,
        "longest_silence_s": round(one.silence_s, 1),
        "expected": found.expected,
        "seen": found.seen,
        "again": one.again,
        **found.counts,
    }


def _most_seen(judged: Sequence[tuple[Subscriber, Verdict]]) -> list[str]:
    """Faults with how many subscribers have them; there may be thousands."""
    faults = Counter(fault for _, found in judged for fault in found.faults)
    return [f"{n} times {fault}" for fault, n in faults.most_common(_FAULTS_MAX)]
