"""Which failures are meant: as it was written, and as the store is asked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.domain.errors import FieldInvalid
from orchestrator.domain.failing import FailureFilter, FailureGroup, FailureReason
from orchestrator.domain.replaying import ReplayKind
from orchestrator.domain.selecting import CHAINS_MAX, How, Selected, Selection
from tests.support.replays import MADE_AT, SHOP, a_plan

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
REQUESTORS = {"Acme": "acme", "": "anonymous"}
IDS = tuple(f"01M80YVSQQKN1JP1SMFEKT79D{n}" for n in range(6))


def selected(**counts: int) -> Selected:
    """One group with so many failures of each kind."""
    none = dict.fromkeys(("open", "purged", "claimed", "refused", "handled"), 0)
    group = FailureGroup(
        reason=FailureReason.STATUS,
        endpoint=SHOP,
        status=503,
        first_at=MADE_AT,
        last_at=MADE_AT,
        **none | counts,
    )
    cut_off = a_plan().cut_off
    return Selected(which=FailureFilter(), cut_off=cut_off, groups=[group])


def test_a_filter_says_what_the_selection_says() -> None:
    """A requestor by name or key, an endpoint by any URL there, each chain once."""
    selection = Selection(
        requestor="Acme",
        endpoint="https://shop.example/next",
        reason="status",
        status=503,
        step=2,
        since="2h",
        until="2026-03-29T13:00:00+02:00",
        chains=(IDS[2], IDS[0], IDS[2]),
    )
    assert selection.filter(REQUESTORS, NOW) == FailureFilter(
        requestor="acme",
        endpoint=SHOP,
        reason=FailureReason.STATUS,
        status=503,
        step=2,
        since=NOW.replace(hour=10),
        until=NOW.replace(hour=11),
        chain_ids=(IDS[2], IDS[0]),
    )
    for named in ("acme", "anonymous"):
        found = Selection(requestor=named).filter(REQUESTORS, NOW)
        assert found.requestor == named
    assert Selection().filter(REQUESTORS, NOW).everything


def test_chains_can_be_too_many() -> None:
    """More of them are meant by what they have in common."""
    ids = [f"01{number:024}" for number in range(CHAINS_MAX + 1)]
    assert len(Selection(chains=ids[1:]).filter({}, NOW).chain_ids or ()) == CHAINS_MAX
    with pytest.raises(FieldInvalid, match=r"filter.chains: at most 10000 chains"):
        Selection(chains=ids).filter({}, NOW)


@pytest.mark.parametrize("time", ["10x", "99999999d", "2026-03-29", "", "٣h"])
def test_a_time_is_a_span_or_has_its_zone(time: str) -> None:
    """Whatever else stands there, also what is beyond the calendar."""
    with pytest.raises(FieldInvalid) as told:
        Selection(since=time).filter({}, NOW)
    assert told.value.field == "filter.since"


@pytest.mark.parametrize("url", ["https://a\x00b/", "//shop.example", "https://:80/"])
def test_an_endpoint_is_one_that_can_be_stored(url: str) -> None:
    """Also the other URL of a plan."""
    for ask in (Selection(endpoint=url).filter, lambda *_: How(url=url).check()):
        with pytest.raises(FieldInvalid, match="it needs http or https and a host"):
            ask({}, NOW)


@pytest.mark.parametrize("pace", [0, -1, 1_000.1, float("nan"), float("inf")])
def test_a_pace_has_its_bounds(pace: float) -> None:
    """What is no number is none."""
    with pytest.raises(FieldInvalid, match=r"^pace: "):
        How(pace=pace).check()
    with pytest.raises(FieldInvalid, match=r"^endpointPace: "):
        How(endpoint_pace=pace).check()


@pytest.mark.parametrize("note", ["\0", "\ud800"])
def test_a_note_is_text(note: str) -> None:
    """No database takes anything else."""
    with pytest.raises(FieldInvalid, match="note: it holds what is no text"):
        How(note=note).check()


def test_what_there_is_depends_on_what_is_to_become_of_it() -> None:
    """What is too old or was refused can only be given up."""
    some = selected(open=1, purged=2, refused=4, claimed=8, handled=16)
    assert some.some_for(ReplayKind.REPLAY) == 1
    assert some.some_for(ReplayKind.HANDLE) == 7
    with pytest.raises(FieldInvalid) as told:
        selected(purged=2, refused=4, claimed=8, handled=16).some_for(ReplayKind.REPLAY)
    assert told.value.reason == (
        "nothing to replay: 2 are too old: their results were deleted;"
        " 4 were refused when that was tried; 8 are in another replay;"
        " 16 are marked as handled"
    )
    with pytest.raises(FieldInvalid) as told:
        selected(claimed=8).some_for(ReplayKind.HANDLE)
    assert told.value.reason == "nothing to handle: 8 are in another replay"
