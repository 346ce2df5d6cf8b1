"""What was promised of a replay after an outage, against what was seen of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from statistics import median
from typing import Final

from orchestrator.domain.chain import ChainState
from orchestrator.proof.lateness import percentile
from orchestrator.proof.outage_judging import verdict
from orchestrator.proof.replay_books import Books, InHand, Row, Victim, Window
from orchestrator.proof.replay_journal import ids_of, redelivered
from orchestrator.proof.report import Promise

#: Live traffic may be so much worse at its 99th percentile beside a replay.
WORSE_MAX: Final = 1.2

_P99: Final = f"live traffic is at most {WORSE_MAX - 1:.0%} worse at its p99"

_TOO_FEW: Final = "live traffic goes on (too little of it for a p99)"

#: The replay worker's memory.
RSS_MB_MAX: Final = 100.0

#: Of its pace a replay keeps at least so much in the windows, or they compare nothing.
PACE_MIN: Final = 0.7

#: Fewer callbacks than these have no 99th percentile to speak of.
SAMPLES_MIN: Final = 300

#: What an endpoint's answer makes of a chain.
_ENDS: Final = {"204": ChainState.COMPLETED, "422": ChainState.FAILED}


def promises_of(books: Books) -> list[Promise]:
    """All of them."""
    return [
        _as_they_would(books),
        _none_twice(books),
        _live_undisturbed(books),
        _accounted(books),
        *_beside(books),
        _killed(books),
        small(books.rss_mb),
        verdict("nothing is left, no process died", "all gone", _remains(books)),
    ]


def state_of(url: str) -> ChainState:
    """What becomes of a chain whose endpoint is well."""
    return _ENDS[url.rpartition("/")[2]]


def _as_they_would(books: Books) -> Promise:
    wrong = list(_ended_otherwise(books.failed, books.rows, generation=1))
    wrong += _answered_otherwise(books)
    wanted = Counter(state_of(url).value for url in books.failed.values())
    told = ", ".join(f"{count:,} {state}" for state, count in sorted(wanted.items()))
    name = f"all {len(books.failed):,} end as they would have"
    return verdict(name, f"{told}, by rows and by the endpoints' journal", wrong)


def _ended_otherwise(
    urls: Mapping[str, str], rows: Mapping[str, Row], *, generation: int
) -> Iterator[str]:
    for chain_id, url in urls.items():
        wanted, row = state_of(url), rows.get(chain_id)
        if row is None:
            yield f"{chain_id}: no row"
        elif (row.state, row.generation) != (wanted, generation):
            yield f"{chain_id}: {row.state} in generation {row.generation}"


def _answered_otherwise(books: Books) -> Iterator[str]:
    """The answer that each chain's callback got in its last generation."""
    answers = {post.chain_id: post.status for post in books.posts if post.generation == 1}
    for chain_id, url in books.failed.items():
        if answers.get(chain_id) != int(url.rpartition("/")[2]):
            yield f"{chain_id}: the endpoint has answered {answers.get(chain_id)}"


def _none_twice(books: Books) -> Promise:
    """One callback, one end and one session for each generation that there may be.

    The same callback comes again only if a kill hit it on its way.
    """
    ids = ids_of(books.posts)
    wrong = [
        f"{chain_id}: {len(some)} callbacks in generation {generation}"
        for (chain_id, generation), some in ids.items()
        if len(some) > 1 or generation > int(chain_id in books.failed)
    ]
    wrong += [
        f"{chain_id}: generation {generation} has {count} {what}"
        for chain_id, row in books.rows.items()
        for what, counts in (("ends", row.ends), ("sessions", row.sessions))
        for generation, count in counts.items()
        if count != 1
    ]
    again, most = redelivered_of(books), books.in_hand
    for what, count, bound in (
        ("first callbacks", again.first, most.first),
        ("replayed callbacks", again.replayed, most.replayed),
    ):
        if count > bound:
            wrong.append(f"{count} {what} came again, the kills explain {bound}")
    replays = sum(generation == 1 for _, generation in ids)
    seen = (
        f"{replays:,} callbacks replayed; redelivered under the same id: {again.replayed}"
        f" (at most {most.replayed} were in hand), {again.first} others (at most"
        f" {most.first})"
    )
    return verdict("0 twice", seen, wrong)


def redelivered_of(books: Books) -> InHand:
    """How many callbacks came again, first ones and replayed ones."""
    first = [post for post in books.posts if not post.generation]
    replayed = [post for post in books.posts if post.generation]
    return InHand(first=redelivered(first), replayed=redelivered(replayed))


def _live_undisturbed(books: Books) -> Promise:
    wrong = list(_ended_otherwise(books.live, books.rows, generation=0))
    posted = ids_of(books.posts)
    wrong += [f"{one}: no callback came" for one in books.live if (one, 0) not in posted]
    name = "every live chain ends, each once"
    return verdict(name, f"{len(books.live):,} completed", wrong)


def _accounted(books: Books) -> Promise:
    plan, wanted = books.plan, len(books.failed)
    again = sum(state_of(url) is ChainState.FAILED for url in books.failed.values())
    account = (plan.claimed, plan.replayed, plan.refused, plan.left)
    wrong = []
    if account != (wanted, wanted, 0, 0) or plan.state != "done":
        wrong.append(f"of {wanted:,} chains, the plan is {plan.state}")
    if books.complaint:
        wrong.append(f"`replay follow` has failed: {books.complaint}")
    if (plan.went_well, plan.failed_again) != (wanted - again, again):
        wrong.append(f"{plan.went_well} well, {plan.failed_again} failed again")
    seen = (
        f"{plan.claimed:,} claimed, {plan.replayed:,} replayed, {plan.refused} refused,"
        f" {plan.left} left; {plan.went_well:,} well, {plan.failed_again:,} failed again"
    )
    return verdict("the plan's account is exact", seen, wrong)


def _beside(books: Books) -> Iterator[Promise]:
    """Live traffic in windows with the replay, against those without."""
    if books.windows_min:
        yield _all_windows(books)
    if not books.windows:
        seen = "the replay was over before there was a window"
        yield Promise(name=_P99, seen=seen, held=False)
        return
    yield _p99(books)
    paces = [one.replayed / one.lasted_s for one in books.windows if one.replaying]
    idle = sum(one.replayed for one in books.windows if not one.replaying)
    yield Promise(
        name="the replay went on in its windows, and not in the others",
        seen=f"{median(paces):.1f}/s of {books.pace:.3g}/s; {idle} in the others",
        held=median(paces) >= PACE_MIN * books.pace and not idle,
    )


def _all_windows(books: Books) -> Promise:
    """A median of fewer is another measurement."""
    count, wanted = len(books.windows), books.windows_min
    wrong = [f"only {count}: {books.cut_short}"] if count < wanted else []
    return verdict(f"there are all {wanted} windows", f"{count} windows", wrong)


def _killed(books: Books) -> Promise:
    """Each once, when some chains were replayed and some were not."""
    wrong = []
    for what in Victim:
        times = sum(kill.what is what for kill in books.killed)
        if times != 1:
            wrong.append(f"{what} was killed {times} times")
    wrong += books.spared
    wrong += [
        f"{kill}: not in the middle"
        for kill in books.killed
        if not 0 < kill.replayed < len(books.failed)
    ]
    seen = ", ".join(map(str, books.killed)) or "nothing killed"
    return verdict("worker and broker are killed in the middle", seen, wrong)


def _p99(books: Books) -> Promise:
    paused, running = (
        p99_ms(books.windows, replaying=False),
        p99_ms(books.windows, replaying=True),
    )
    ratio = running / paused
    told = f"p99 {paused:.1f} ms without, {running:.1f} ms with it: {ratio - 1:+.0%}"
    samples = min(len(one.latencies_s) for one in books.windows)
    if samples < SAMPLES_MIN:
        came = all(isfinite(one.latencies_s[-1]) for one in books.windows)
        return Promise(name=_TOO_FEW, seen=f"{told}; {samples} callbacks", held=came)
    return Promise(name=_P99, seen=told, held=ratio <= WORSE_MAX)


def p99_ms(windows: Iterable[Window], *, replaying: bool) -> float:
    """The median of the 99th percentiles of these windows."""
    return 1000 * median(
        percentile(one.latencies_s, 99) for one in windows if one.replaying is replaying
    )


def small(rss_mb: Sequence[float]) -> Promise:
    """The worker's memory, by the most that each of its processes ever had."""
    return Promise(
        name=f"a replay worker has at most {RSS_MB_MAX:.0f} MB",
        seen=", ".join(f"{one:.1f} MB" for one in rss_mb),
        held=bool(rss_mb) and max(rss_mb) <= RSS_MB_MAX,
    )


def _remains(books: Books) -> list[str]:
    return [*books.left, *(f"{name} died" for name in books.died)]
