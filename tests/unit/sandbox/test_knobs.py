"""What can be switched on at the pretend server, and for how often."""

import pytest

from orchestrator.sandbox.knobs import (
    During,
    Fault,
    Faults,
    InvalidFaults,
    Knob,
    Knobs,
    SlowHandler,
    parse_faults,
)


@pytest.mark.parametrize("knob", Knob)
def test_nothing_happens_by_default(knob: Knob) -> None:
    """A server is sound unless somebody wants it otherwise."""
    assert not Knobs(parse_faults(b"{}")).happens(knob)


@pytest.mark.parametrize("knob", Knob)
def test_each_fault_is_counted(knob: Knob) -> None:
    """A fault for the next two occurrences happens twice, and no other does."""
    knobs = Knobs(parse_faults(f'{{"{knob}": {{"times": 2}}}}'.encode()))
    assert [knobs.happens(knob) for _ in range(3)] == [True, True, False]
    assert knobs.faults == Faults()


def test_fault_without_a_count_happens_every_time() -> None:
    """What is switched on without a number stays on."""
    knobs = Knobs(parse_faults(b'{"lost_update": {}}'))
    assert all(knobs.happens(Knob.LOST_UPDATE) for _ in range(100))


def test_slow_handler_is_slow_at_one_point() -> None:
    """Being held up counts only where it happens."""
    slow = SlowHandler(times=1, delay_s=7, during=During.COMMIT)
    knobs = Knobs(Faults(slow_handler=slow))
    moments = (During.PROOFS, During.COMMIT, During.COMMIT)
    assert [knobs.delay_s(moment) for moment in moments] == [0, 7, 0]


@pytest.mark.parametrize(
    "body, reason",
    [
        ("", "body: Invalid JSON"),
        ("[]", "body: "),
        ('{"lost_updates": {}}', "lost_updates: Extra inputs are not permitted"),
        ('{"lost_update": true}', "lost_update: "),
        ('{"lost_update": {"times": "3"}}', "lost_update.times: Input should be a valid"),
        ('{"lost_update": {"times": 0}}', "lost_update.times: Input should be greater"),
        ('{"lost_update": {"delay_s": 1}}', "lost_update.delay_s: Extra"),
        (
            '{"slow_handler": {"delay_s": 61}}',
            "slow_handler.delay_s: Input should be less",
        ),
        ('{"slow_handler": {"delay_s": NaN}}', "slow_handler.delay_s: "),
        (
            '{"slow_handler": {"during": "x"}}',
            "during: Input should be 'proofs' or 'comm",
        ),
    ],
)
def test_what_is_no_fault_is_told(body: str, reason: str) -> None:
    """A refusal names the field and says what it should be."""
    with pytest.raises(InvalidFaults) as caught:
        parse_faults(body.encode())
    assert reason in str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Two mistakes, two reasons; what was given is not repeated."""
    with pytest.raises(InvalidFaults) as caught:
        parse_faults(b'{"stale_read": {"times": -7}, "nosuch": "s3cret"}')
    assert "stale_read.times: " in str(caught.value)
    assert "nosuch: " in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_faults_are_written_as_they_are_read() -> None:
    """What a server shows can be given to it again."""
    faults = Faults(lost_update=Fault(times=3), slow_handler=SlowHandler(delay_s=1.5))
    assert parse_faults(faults.model_dump_json().encode()) == faults
