"""The table of an outage counts each thing in the phase in which its user acted."""

from __future__ import annotations

import pytest

from orchestrator.proof.outage_books import (
    Away,
    Books,
    Kept,
    Phase,
    Refusal,
    Sitting,
    User,
)
from orchestrator.proof.outage_sheet import figures, quantile, sheet


def sitting(step: int, shared_s: float, *, detached: bool = False) -> Sitting:
    """A session that ended well."""
    return Sitting(
        step=step, shared_s=shared_s, waited_s=0.5, ended_well=True, detached=detached
    )


BOOKS = Books(
    away=Away(from_s=100.0, until_s=130.0),
    rate=20.0,
    offered=20.0,
    refuses=True,
    users=[
        User(
            chain_id="A",
            begun_s=90.0,
            sessions=2,
            sittings=[sitting(1, 95.0), sitting(2, 101.0)],
        ),
        User(
            chain_id="B",
            begun_s=99.0,
            sessions=2,
            sittings=[sitting(1, 110.0), sitting(2, 140.0, detached=True)],
        ),
    ],
    refusals=[Refusal(at_s=105.0, status=503, clear=True)],
    posted=[],
    told=[],
    viewings=[],
    kept={
        "A": Kept(chain_id="A", state="completed", ended_s=131.0, statuses=[]),
        "B": Kept(chain_id="B", state="failed", ended_s=141.0, statuses=[]),
    },
)


def test_a_session_counts_where_it_was_shared() -> None:
    """And with it whether the next one came in flow or detached."""
    shared = {
        phase: (found["shared"], found["in_flow"], found["detached"])
        for phase in Phase
        for found in [figures(BOOKS, phase)]
    }
    assert shared == {
        Phase.BEFORE: (1, 1, 0),
        Phase.DURING: (2, 0, 1),
        Phase.AFTER: (1, 0, 0),
    }


def test_a_chain_counts_as_completed_where_its_user_was_done() -> None:
    """The time to the end is the time from then; a chain that failed has none."""
    during, after = figures(BOOKS, Phase.DURING), figures(BOOKS, Phase.AFTER)
    assert (during["completed"], during["to_end_p50_s"]) == (1, 30.0)
    assert (after["completed"], after["to_end_p50_s"]) == (0, None)


def test_every_row_has_a_cell_for_every_column() -> None:
    """Where nothing was measured there is a dash."""
    table = sheet("broker away", BOOKS)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert table.rows[0][-1] == "-/-"


@pytest.mark.parametrize("share, value", [(0.5, 3), (0.99, 4), (0.0, 1)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    """The one below which this share of them is."""
    assert quantile([1, 2, 3, 4], share) == value
