"""Compares the journals of one outage: each promise, and the faults that were found.

Nothing here asks anybody, and what nobody did proves nothing: a promise about no case at
all is broken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from orchestrator.proof.outage_books import (
    Away,
    Books,
    Kept,
    Phase,
    Said,
    Signs,
    Sitting,
    Told,
    User,
)
from orchestrator.proof.report import Promise

#: Faults that are told one by one; there may be thousands.
_TOLD_MAX: Final = 3

#: The IRMA server cuts the app off then (reference irma.md §1.2).
APP_CUT_OFF_S: Final = 4.2

#: How long after an outage the last chain that had to wait may end.
SETTLED_S: Final = 120.0

#: How long after an outage a process may still say that something is away.
RECOVERED_S: Final = 15.0

#: Less than this of what was to be offered is another load.
_OFFERED_MIN: Final = 0.95

_ENDINGS: Final = frozenset(
    {"chain.completed", "chain.failed", "chain.cancelled", "chain.expired"}
)


def verdict(name: str, seen: str, faults: Sequence[str]) -> Promise:
    """A promise that holds unless there are faults; the first ones are told."""
    if not faults:
        return Promise(name=name, seen=seen, held=True)
    more = len(faults) - _TOLD_MAX
    told = "; ".join(faults[:_TOLD_MAX]) + (f"; and {more} more" if more > 0 else "")
    return Promise(name=name, seen=f"{told} ({seen})", held=False)


def sessions_ended_well(books: Books) -> Promise:
    """No error of ours reached a user in a session that was started."""
    faults = [f"{one.chain_id}: {text}" for one in books.users for text in one.troubles]
    count, longest_s = 0, 0.0
    for user in books.users:
        if len(user.sittings) != user.sessions and not user.troubles:
            found = f"{len(user.sittings)} sessions, not {user.sessions}"
            faults.append(f"{user.chain_id}: {found}")
        for sitting in user.sittings:
            count += 1
            longest_s = max(longest_s, sitting.waited_s)
            faults += _badly_ended(user, sitting)
    during = _shared(books, Phase.DURING)
    if not during:
        faults.append("nobody shared anything while it was away")
    seen = f"{count} sessions, {during} shared meanwhile; longest wait {longest_s:.2f} s"
    return verdict("every started session ends well for its user", seen, faults)


def _badly_ended(user: User, sitting: Sitting) -> list[str]:
    which = f"{user.chain_id} step {sitting.step}"
    if not sitting.ended_well:
        return [f"{which}: the app got an error"]
    if sitting.waited_s > APP_CUT_OFF_S:
        return [f"{which}: the app waited {sitting.waited_s:.1f} s"]
    return []


def _shared(books: Books, phase: Phase) -> int:
    return sum(
        books.away.phase(sitting.shared_s) is phase
        for user in books.users
        for sitting in user.sittings
    )


def load_was_steady(books: Books) -> Promise:
    """A lighter load than was said would prove less."""
    enough = books.offered >= _OFFERED_MIN * books.rate
    return Promise(
        name=f"{books.rate:g} chains/s are asked for all the time",
        seen=f"{books.offered:.1f}/s, away for {books.away.lasted_s:.1f} s",
        held=enough,
    )


def new_chains(books: Books) -> Promise:
    """New chains are refused only where that was said, and in clear words."""
    faults = [
        f"a new chain got {one.status}" + ("" if one.clear else " without clear words")
        for one in books.refusals
        if not (books.refuses and one.clear and books.away.near(one.at_s))
    ]
    if books.refuses and not books.refusals:
        faults.append("no new chain was refused, so it was not away")
    name = "new chains are started all the time"
    if books.refuses:
        name = "new chains get a clear 503 meanwhile, and only then"
    seen = f"{len(books.users)} started, {len(books.refusals)} refused"
    return verdict(name, seen, faults)


def pages_stay(books: Books) -> Promise:
    """A chain page that is open stays so; one that is opened may have to come back."""
    faults = []
    for one in books.viewings:
        if one.cut:
            faults.append(f"{one.chain_id}: its open page was cut {one.cut} times")
        faults += [
            f"{one.chain_id}: its page answered {status}"
            for at_s, status in one.refused
            if not (books.refuses and status == HTTPStatus.SERVICE_UNAVAILABLE)
            or not books.away.near(at_s)
        ]
    if not books.viewings:
        faults.append("no page was open")
    again = sum(len(one.refused) for one in books.viewings)
    seen = f"{len(books.viewings)} pages to the end, {again} times told to come back"
    return verdict("chain pages show each chain to its end", seen, faults)


def chains_ended(books: Books) -> Promise:
    """Every result that was accepted ends its chain, by the database, and soon."""
    faults, last_s = list[str](), 0.0
    for user in books.users:
        kept = books.kept.get(user.chain_id)
        if (fault := _not_completed(user, kept)) is not None:
            faults.append(f"{user.chain_id}: {fault}")
        elif kept is not None and kept.ended_s is not None and _waited(books, user):
            last_s = max(last_s, kept.ended_s - books.away.until_s)
    if last_s > SETTLED_S:
        faults.append(f"the last chain that had to wait ended {last_s:.0f} s after it")
    others = Counter(
        kept.state for id_, kept in books.kept.items() if id_ not in books.ours
    )
    if others["running"]:
        faults.append(f"{others['running']} chains that nobody was told of still run")
    seen = f"{len(books.users)} chains, the last that waited {last_s:.1f} s after it"
    if others:
        seen += f"; {others.total()} that nobody was told of: {dict(others)}"
    return verdict("every accepted result ends its chain", seen, faults)


def _not_completed(user: User, kept: Kept | None) -> str | None:
    if kept is None:
        return "no row"
    if kept.state != "completed":
        return kept.state
    if list(kept.statuses) != ["DONE"] * user.sessions:
        return f"sessions {list(kept.statuses)}"
    return None


def _waited(books: Books, user: User) -> bool:
    """Whether the user had done everything before the outage was over."""
    last_s = user.last_shared_s
    return last_s is not None and last_s < books.away.until_s


def none_twice(books: Books) -> Promise:
    """One live session and one end for each, by what subscribers were told."""
    first = _by_id(books.told)
    starts = Counter(
        (told.chain_id, told.step, told.generation)
        for told in first
        if told.type == "session.started"
    )
    ends = Counter(told.chain_id for told in first if told.type in _ENDINGS)
    completed = {told.chain_id for told in first if told.type == "chain.completed"}
    faults = [
        f"{chain} step {step}: {n} live sessions"
        for (chain, step, _), n in starts.items()
        if n > 1
    ]
    faults += [f"{chain}: {n} endings" for chain, n in ends.items() if n > 1]
    faults += [f"{chain}: no chain.completed" for chain in books.ours - completed]
    announced = Counter(chain for chain, _, _ in starts)
    faults += [
        f"{user.chain_id}: {announced[user.chain_id]} sessions announced"
        for user in books.users
        if announced[user.chain_id] != user.sessions
    ]
    again = len(books.told) - len(first)
    seen = f"{len(starts)} sessions, {len(ends)} endings; {again} events told again"
    return verdict("one live session per step and one end per chain", seen, faults)


def _by_id(told: Iterable[Told]) -> list[Told]:
    """Each event once: whoever is told again knows it by its id."""
    return list({one.id: one for one in told}.values())


def posts_identical(books: Books) -> Promise:
    """Each result is POSTed at least once, each time with its id and the same content."""
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    results: dict[str, set[str]] = defaultdict(set)
    for one in books.posted:
        ids[one.chain_id, one.step].add(one.webhook_id)
        results[one.webhook_id].add(one.result)
    faults = [
        f"{chain} step {step}: {len(found)} webhook ids"
        for (chain, step), found in ids.items()
        if len(found) > 1
    ]
    faults += [
        f"{id_}: different results" for id_, found in results.items() if len(found) > 1
    ]
    faults += [
        f"{user.chain_id}: its result was never POSTed"
        for user in books.users
        if (user.chain_id, 1) not in ids
    ]
    again = len(books.posted) - len(results)
    seen = f"{len(results)} callbacks, {again} POSTed again"
    return verdict("each result is POSTed under one id with one content", seen, faults)


def sequences_whole(books: Books) -> Promise:
    """A chain's events are numbered from 1 without a gap (G4)."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for one in _by_id(books.told):
        numbers[one.chain_id].append(one.sequence)
    faults = [
        f"{chain}: {sorted(found)}"
        for chain, found in numbers.items()
        if sorted(found) != list(range(1, len(found) + 1))
    ]
    seen = f"{sum(map(len, numbers.values()))} events of {len(numbers)} chains"
    return verdict("a chain's events are numbered without a gap", seen, faults)


def all_of(books: Books) -> list[Promise]:
    """Every promise that the journals can judge."""
    judges = (
        load_was_steady,
        sessions_ended_well,
        new_chains,
        pages_stay,
        chains_ended,
        none_twice,
        posts_identical,
        sequences_whole,
    )
    return [judge(books) for judge in judges]


def noticed(
    away: Away, signs: Mapping[str, Signs], said: Mapping[str, Sequence[Said]]
) -> Promise:
    """Each process says that it is unready, and by itself that it goes on."""
    faults, longest_s = list[str](), 0.0
    for process, sign in signs.items():
        lost = [one.at_s for one in said[process] if one.event == sign.away]
        back = [one.at_s for one in said[process] if one.event == sign.over]
        if not any(away.near(at_s) for at_s in lost):
            faults.append(f"{process} did not say so")
        elif sign.over is not None and len(back) < len(lost):
            faults.append(f"{process} says {sign.away} and not {sign.over}")
        else:
            longest_s = max(longest_s, max(back or lost) - away.until_s)
    for process, sign in signs.items():
        late = [one for one in said[process] if one.event == sign.away]
        if any(one.at_s > away.until_s + RECOVERED_S for one in late):
            faults.append(f"{process} says {sign.away} long after it")
    seen = f"{', '.join(signs)}; the last one went on {longest_s:.1f} s after it"
    return verdict("processes say that they cannot go on, and then go on", seen, faults)
