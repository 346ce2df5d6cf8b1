"""The table of the proof of answers, and its promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from orchestrator.proof.lateness import Retried, end_late_s, percentile, retries_of
from orchestrator.proof.report import Promise, Report, Sheet
from orchestrator.proof.verdicts import LATE_MAX_S, Aspect, Finding

PROOF: Final = "answers"

_COLUMNS: Final = (
    "case",
    "decided",
    "attempts",
    "retries: planned+late ms",
    "end",
    "the app",
    "reason",
    "right?",
)

#: Each aspect with what is promised of it; TIME has a promise with figures.
_PROMISES: Final = {
    Aspect.DECIDED: "each answer and fault decided as DESIGN §4 says",
    Aspect.ATTEMPTS: "attempts exact, as the endpoints counted them",
    Aspect.SAME: "one id and one result, each attempt signed afresh",
    Aspect.END: "end state, reason, what the app saw and the reply URL answered",
}


def report_of(findings: Sequence[Finding], *, strayed: int) -> Report:
    """What was found; `strayed` counts requests where a redirect would have led."""
    promises = [_promise(findings, *promise) for promise in _PROMISES.items()]
    retried = [one for found in findings for one in retries_of(found.seen)]
    lateness = sorted(one.late_s for one in retried)
    promises.append(
        Promise(
            name=f"{PROOF}: no retry early, none later than {LATE_MAX_S:g} s",
            seen=f"{_spoken(retried)}; {_held(findings, Aspect.TIME)}",
            held=bool(retried) and not _deviating(findings, Aspect.TIME),
        )
    )
    promises.append(
        Promise(
            name=f"{PROOF}: redirects lead nowhere",
            seen=f"{strayed} requests at where they would lead",
            held=strayed == 0,
        )
    )
    return Report(
        proof=PROOF,
        promises=promises,
        sheets=_sheets(findings),
        figures=_figures(findings, lateness),
    )


def _promise(findings: Sequence[Finding], aspect: Aspect, what: str) -> Promise:
    return Promise(
        name=f"{PROOF}: {what}",
        seen=_held(findings, aspect),
        held=bool(findings) and not _deviating(findings, aspect),
    )


def _deviating(findings: Sequence[Finding], aspect: Aspect) -> list[str]:
    return [
        found.case
        for found in findings
        if any(one.aspect is aspect for one in found.deviations)
    ]


def _held(findings: Sequence[Finding], aspect: Aspect) -> str:
    broken = _deviating(findings, aspect)
    text = f"{len(findings) - len(broken)} of {len(findings)} cases"
    return f"{text}; not: {'; '.join(broken)}" if broken else text


def _spoken(retried: Sequence[Retried]) -> str:
    """How late retries were, by the clock that they waited for."""
    spoken = []
    for clock in ("live", "background"):
        late = sorted(one.late_s for one in retried if one.planned.clock == clock)
        if late:
            spoken.append(
                f"{len(late)} {clock} ones: p50 {_ms(percentile(late, 50))},"
                f" p99 {_ms(percentile(late, 99))}, most {_ms(late[-1])} ms late"
            )
    return ", ".join(spoken)


def _figures(
    findings: Sequence[Finding], lateness: Sequence[float]
) -> dict[str, JsonValue]:
    ends = Counter(str(found.seen.state) for found in findings)
    late: dict[str, JsonValue] = {}
    if lateness:
        late = {
            "late_p50_ms": _ms(percentile(lateness, 50)),
            "late_p99_ms": _ms(percentile(lateness, 99)),
            "late_max_ms": _ms(lateness[-1]),
        }
    return {
        "cases": len(findings),
        "right": sum(found.right for found in findings),
        "attempts": sum(len(found.seen.attempts) for found in findings),
        "retries": len(lateness),
        "ends": dict(ends),
        **late,
    }


def _sheets(findings: Sequence[Finding]) -> list[Sheet]:
    """All cases, and what deviated, if anything did."""
    rows = [_row(found) for found in findings]
    wrong = [
        (found.case, one.aspect, one.text)
        for found in findings
        for one in found.deviations
    ]
    sheets = [Sheet(title="Every answer and fault", columns=_COLUMNS, rows=rows)]
    if wrong:
        columns = ("case", "aspect", "what is wrong")
        sheets.append(Sheet(title="Not as expected", columns=columns, rows=wrong))
    return sheets


def _row(found: Finding) -> tuple[str, ...]:
    seen = found.seen
    unseen = f" + {found.expected.unseen} unseen" if found.expected.unseen else ""
    replies = [f"; replied {', '.join(map(str, seen.replies))}"] if seen.replies else []
    return (
        found.case,
        _counted([one.text for one in seen.decided]),
        f"{len(seen.attempts)}{unseen}",
        _late(found),
        "".join([str(seen.state or "none"), *replies]),
        seen.app,
        seen.reason or "",
        "yes" if found.right else "NO",
    )


def _counted(texts: Sequence[str]) -> str:
    """Decisions in order, repeated ones once with how often."""
    told: list[tuple[str, int]] = []
    for text in texts:
        if told and told[-1][0] == text:
            told[-1] = (text, told[-1][1] + 1)
        else:
            told.append((text, 1))
    return ", ".join(f"{text} x{n}" if n > 1 else text for text, n in told)


def _late(found: Finding) -> str:
    late = [
        f"{_ms(one.planned.delay_s)}+{_ms(one.late_s)}" for one in retries_of(found.seen)
    ]
    end_s = end_late_s(found.expected, found.seen)
    if end_s is not None:
        late.append(f"{_ms(found.expected.ends_after_s or 0.0)}{_ms(end_s):+}")
    return " ".join(late)


def _ms(duration_s: float) -> int:
    return round(duration_s * 1000)
