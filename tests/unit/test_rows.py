"""The sealed columns of a row: what was sealed comes out, and only in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.chain import Slot, Step, StepState
from orchestrator.domain.errors import SealBroken
from orchestrator.rows import RowSecrets
from orchestrator.sealing import Sealer
from schemas.irma import session_request_from
from tests.support.fakes import FakeBackend
from tests.support.samples import NOW, TARGET, disclosure, result_of

SLOT = Slot(chain_id="01C", step=2, generation=1)
REQUEST = session_request_from(disclosure(TARGET, validity=77))
RESULT = result_of("TokenMARKER000000001")


@pytest.fixture
def rows(sealer: Sealer) -> RowSecrets:
    """What is under test."""
    return RowSecrets(sealer=sealer)


@pytest.fixture
async def full(rows: RowSecrets) -> Step:
    """A row with every sealed column filled."""
    started = await FakeBackend().start(REQUEST)
    return Step(
        slot=SLOT,
        state=StepState.LIVE,
        created_at=NOW,
        check_at=NOW,
        sealed_request=rows.seal_request(SLOT, REQUEST),
        sealed_prepared=rows.seal_prepared(SLOT, REQUEST.with_urls(None, None)),
        sealed_package=rows.seal_package(SLOT, started.package),
        sealed_token=rows.seal_token(SLOT, RESULT.token),
        sealed_result=rows.seal_result(SLOT, RESULT),
    )


EMPTY = Step(slot=SLOT, state=StepState.FORWARDED, created_at=NOW, check_at=NOW)


async def test_what_was_sealed_comes_out(rows: RowSecrets, full: Step) -> None:
    """Request, prepared request, package, token and result are as they were."""
    assert rows.request(full) == REQUEST
    assert rows.prepared(full) == REQUEST.with_urls(None, None)
    assert rows.token(full) == RESULT.token
    assert rows.result(full) == RESULT
    package = rows.package(full)
    assert package is not None
    assert package.session_ptr.u.startswith("http://irma.example/")


async def test_no_column_is_readable(full: Step) -> None:
    """Neither values nor tokens nor paths stand in a row in plain text."""
    columns = [value for name, value in vars(full).items() if name.startswith("sealed_")]
    assert len(columns) == 5
    for column in columns:
        assert column.startswith("v1.k1.")
        assert "MARKER" not in column


def test_what_is_not_known_yet_is_none(rows: RowSecrets) -> None:
    """A forwarded session has neither token nor result nor package."""
    assert rows.token(EMPTY) is None
    assert rows.result(EMPTY) is None
    assert rows.package(EMPTY) is None


def test_every_session_has_a_request(rows: RowSecrets) -> None:
    """A row without one is broken, and the error says which column."""
    with pytest.raises(SealBroken, match="the row has no request"):
        rows.request(EMPTY)
    with pytest.raises(SealBroken, match="the row has no prepared"):
        rows.prepared(EMPTY)


@pytest.mark.parametrize("slot", [replace(SLOT, step=1), replace(SLOT, generation=0)])
async def test_columns_are_bound_to_their_slot(
    rows: RowSecrets, full: Step, slot: Slot
) -> None:
    """A column copied into another step's row, or another generation's, stays shut."""
    moved = replace(full, slot=slot)
    for read in (rows.request, rows.token, rows.result, rows.package):
        with pytest.raises(SealBroken):
            read(moved)


async def test_columns_are_bound_to_their_name(rows: RowSecrets, full: Step) -> None:
    """The integrator's request cannot pass for the one its backend gets."""
    with pytest.raises(SealBroken):
        rows.prepared(replace(full, sealed_prepared=full.sealed_request))


def test_a_proved_result_is_sealed_for_its_step(rows: RowSecrets, sealer: Sealer) -> None:
    """Token and result for the row, and the hash it is found by."""
    proved = rows.proved(SLOT, RESULT)
    row = replace(
        EMPTY, sealed_token=proved.sealed_token, sealed_result=proved.sealed_result
    )
    assert rows.token(row) == RESULT.token
    assert rows.result(row) == RESULT
    assert proved.token_hash == sealer.token_hash(RESULT.token)
