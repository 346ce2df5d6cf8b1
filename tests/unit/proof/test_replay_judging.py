"""What is made of a replay after an outage: each promise, and what breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.proof.replay_books import Books, InHand, Kill, Row, Victim, Window
from orchestrator.proof.replay_command import Told
from orchestrator.proof.replay_journal import Posted
from orchestrator.proof.replay_judging import PACE_MIN, SAMPLES_MIN, promises_of
from orchestrator.proof.replay_sheets import figures, sheets

WELL, REFUSED, LIVE = "CHAINA", "CHAINB", "CHAINL"
URLS = {WELL: "http://one/204", REFUSED: "http://two/422"}

AS_WOULD = "all 2 end as they would have"
TWICE = "0 twice"
LIVES = "every live chain ends, each once"
ACCOUNT = "the plan's account is exact"
P99 = "live traffic is at most 20% worse at its p99"
WENT_ON = "the replay went on in its windows, and not in the others"
MEMORY = "a replay worker has at most 100 MB"
LEFT = "nothing is left, no process died"
KILLED = "worker and broker are killed in the middle"


def post(chain_id: str, generation: int, status: int, ordinal: str = "0") -> Posted:
    """A callback as its endpoint saw it."""
    webhook_id = f"{chain_id}-1-{generation}-session_completed-{ordinal}"
    return Posted(1.0, 0, status, webhook_id)


def row(state: str, generation: int) -> Row:
    """A chain that was told to have ended once in each generation."""
    once = dict.fromkeys(range(generation + 1), 1)
    return Row(state=state, generation=generation, ends=once, sessions=once)


def window(late_s: float, *, replaying: bool, samples: int = SAMPLES_MIN) -> Window:
    """Callbacks that all took so long."""
    return Window(
        replaying=replaying,
        from_s=0.0,
        to_s=10.0,
        latencies_s=[late_s] * samples,
        replayed=200 if replaying else 0,
    )


POSTS = (
    post(WELL, 0, 404),
    post(REFUSED, 0, 200),
    post(WELL, 1, 204),
    post(REFUSED, 1, 422),
    post(LIVE, 0, 204),
)
ROWS = {
    WELL: row("completed", 1),
    REFUSED: row("failed", 1),
    LIVE: row("completed", 0),
}
PLAN = Told(
    id="R",
    state="done",
    claimed=2,
    replayed=2,
    refused=0,
    left=0,
    wentWell=1,
    failedAgain=1,
    settled=True,
)
BOOKS = Books(
    pace=20.0,
    rate=20.0,
    failed=URLS,
    live={LIVE: "http://three/204"},
    rows=ROWS,
    posts=POSTS,
    windows=[
        window(0.010, replaying=False),
        window(0.011, replaying=True),
    ],
    plan=PLAN,
    complaint="",
    took_s=100.0,
    failing_took_s=50.0,
    rss_mb=[80.0, 90.0],
    windows_min=2,
    killed=[Kill(what=Victim.WORKER, replayed=1), Kill(what=Victim.BROKER, replayed=1)],
    in_hand=InHand(first=2, replayed=1),
)


def broken(books: Books) -> list[str]:
    """The promises that did not hold."""
    return [one.name for one in promises_of(books) if not one.held]


def test_a_replay_as_it_should_be_breaks_nothing() -> None:
    """Every promise holds, and the last line has what was measured."""
    assert broken(BOOKS) == []
    told = figures(BOOKS)
    assert (told["live_p99_ms"], told["live_p99_ms_beside_replay"]) == (10.0, 11.0)
    assert told["ended"] == {"completed": 1, "failed": 1}
    assert [one[0] for one in sheets(BOOKS)[0].rows] == ["paused", "runs"]


@pytest.mark.parametrize(
    "rows, names",
    [
        ({WELL: row("failed", 1)}, [AS_WOULD]),
        ({WELL: row("failed", 0)}, [AS_WOULD]),
        ({REFUSED: row("completed", 1)}, [AS_WOULD]),
        ({LIVE: row("running", 0)}, [LIVES]),
        ({WELL: replace(ROWS[WELL], ends={0: 1, 1: 2})}, [TWICE]),
        ({WELL: replace(ROWS[WELL], sessions={0: 1, 1: 2})}, [TWICE]),
    ],
)
def test_rows_that_say_otherwise_break_it(rows: dict[str, Row], names: list[str]) -> None:
    """A chain's state, how often it ended, how many sessions there were: all count."""
    assert broken(replace(BOOKS, rows=ROWS | rows)) == names


@pytest.mark.parametrize(
    "posts, names",
    [
        ([post(WELL, 1, 204, "other")], [TWICE]),
        ([post(WELL, 2, 204)], [TWICE]),
        ([post(LIVE, 1, 204)], [TWICE]),
        ([post(WELL, 1, 422)], [AS_WOULD]),
    ],
)
def test_what_an_endpoint_got_beyond_that_breaks_it(
    posts: Sequence[Posted], names: list[str]
) -> None:
    """Another id of a generation, or a generation too many, is a chain replayed twice."""
    assert broken(replace(BOOKS, posts=[*POSTS, *posts])) == names


def test_the_same_id_again_is_a_redelivery() -> None:
    """What was in hand at a kill may come twice under one id; it is told."""
    again = [post(WELL, 1, 204), *[post(LIVE, 0, 204)] * 2]
    books = replace(BOOKS, posts=[*POSTS, *again])
    assert broken(books) == []
    told = figures(books)
    assert (told["redelivered"], told["redelivered_max"]) == (3, 3)


@pytest.mark.parametrize(
    "again",
    [[post(WELL, 1, 204)] * 2, [post(LIVE, 0, 204)] * 3, [post(WELL, 0, 404)] * 3],
)
def test_the_same_id_again_and_again_breaks_it(again: Sequence[Posted]) -> None:
    """More than the kills explain is a defect that POSTs twice, whatever its ids."""
    assert broken(replace(BOOKS, posts=[*again, *POSTS])) == [TWICE]


@pytest.mark.parametrize(
    "kills",
    [
        [],
        [(Victim.WORKER, 1)],
        [(Victim.BROKER, 1)],
        [(Victim.WORKER, 1), (Victim.WORKER, 1)],
        [(Victim.WORKER, 1), (Victim.BROKER, 1), (Victim.BROKER, 1)],
        [(Victim.WORKER, 1), (Victim.BROKER, 2)],
        [(Victim.WORKER, 0), (Victim.BROKER, 1)],
    ],
)
def test_both_are_killed_in_the_middle(kills: Sequence[tuple[Victim, int]]) -> None:
    """A kill before the first chain or after the last one shows nothing."""
    killed = [Kill(what=what, replayed=replayed) for what, replayed in kills]
    assert broken(replace(BOOKS, killed=killed)) == [KILLED]


def test_what_cannot_be_killed_is_told_with_its_remedy() -> None:
    """A broker that is not ours proves nothing, and that is no pass."""
    remedy = "it is not ours; unset it"
    books = replace(BOOKS, killed=BOOKS.killed[:1], spared=[remedy])
    (promise,) = [one for one in promises_of(books) if one.name == KILLED]
    assert not promise.held
    assert f"the broker was killed 0 times; {remedy}" in promise.seen
    assert figures(books)["killed"] == ["the replay worker at 1"]


def test_a_callback_that_never_came_breaks_it() -> None:
    """Rows alone do not show that an endpoint was asked."""
    posts = [one for one in POSTS if one.chain_id != WELL or one.generation == 0]
    assert broken(replace(BOOKS, posts=posts)) == [AS_WOULD]
    posts = [one for one in POSTS if one.chain_id != LIVE]
    assert broken(replace(BOOKS, posts=posts)) == [LIVES]


@pytest.mark.parametrize(
    "changed",
    [
        {"claimed": 3},
        {"replayed": 1, "left": 1},
        {"refused": 1},
        {"state": "paused"},
        {"went_well": 2, "failed_again": 0},
    ],
)
def test_an_account_that_is_not_exact_breaks_it(changed: dict[str, object]) -> None:
    """The plan's numbers are those of the chains."""
    plan = PLAN.model_copy(update=changed)
    assert broken(replace(BOOKS, plan=plan)) == [ACCOUNT]


def test_a_command_that_fails_breaks_it() -> None:
    """Whoever follows a replay learns by the exit code how it ended."""
    assert broken(replace(BOOKS, complaint="the store is away")) == [ACCOUNT]


def test_live_traffic_that_suffers_breaks_it() -> None:
    """The median of the windows counts, so one that was disturbed decides nothing."""
    alone = [window(0.010, replaying=False)] * 3
    one_bad = [window(one, replaying=True) for one in (0.011, 0.5, 0.011)]
    assert broken(replace(BOOKS, windows=[*alone, *one_bad])) == []
    bad = [window(0.0121, replaying=True)] * 3
    assert broken(replace(BOOKS, windows=[*alone, *bad])) == [P99]


def test_a_replay_without_a_window_proves_nothing() -> None:
    """What was over too soon was not compared."""
    books = replace(BOOKS, windows=[], windows_min=0)
    assert broken(books) == [P99]
    assert sheets(books) == []
    assert "ratio" not in figures(books)


def test_a_window_that_is_missing_breaks_it() -> None:
    """The median of fewer is not what was promised; why there are no more is told."""
    books = replace(BOOKS, windows_min=10, cut_short="chainctl replay pause: it is done")
    (promise,) = [one for one in promises_of(books) if not one.held]
    assert promise.name == "there are all 10 windows"
    assert promise.seen.startswith("only 2: chainctl replay pause: it is done")
    assert broken(replace(books, windows=[*BOOKS.windows] * 5)) == []


def test_windows_of_a_few_callbacks_are_not_judged_by_their_p99() -> None:
    """A small run does not say that the promise held; but what was sent has to come."""
    few = SAMPLES_MIN - 1
    late = window(0.1, replaying=True, samples=few)
    books = replace(BOOKS, windows=[window(0.01, replaying=False, samples=few), late])
    assert broken(books) == []
    assert P99 not in {one.name for one in promises_of(books)}
    lost = replace(late, latencies_s=[0.1] * (few - 1) + [float("inf")])
    assert len(broken(replace(books, windows=[books.windows[0], lost]))) == 1


@pytest.mark.parametrize(
    "replaying, replayed", [(True, int(PACE_MIN * 200) - 1), (False, 1)]
)
def test_windows_that_compare_nothing_break_it(*, replaying: bool, replayed: int) -> None:
    """A replay that hardly runs troubles nobody, and one that is paused must not run."""
    windows = [
        replace(one, replayed=replayed) if one.replaying is replaying else one
        for one in BOOKS.windows
    ]
    assert broken(replace(BOOKS, windows=windows)) == [WENT_ON]


@pytest.mark.parametrize(
    "changed, name",
    [
        (replace(BOOKS, rss_mb=[80.0, 100.1]), MEMORY),
        (replace(BOOKS, rss_mb=[]), MEMORY),
        (replace(BOOKS, left=["1 in callbacks"]), LEFT),
        (replace(BOOKS, died=["session"]), LEFT),
    ],
)
def test_memory_and_what_is_left_are_promised(changed: Books, name: str) -> None:
    """The most that any of the workers had counts, and nothing may remain."""
    assert broken(changed) == [name]
