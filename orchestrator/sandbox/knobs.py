"""Faults of an IRMA server that can be switched on (reference irma.md §7.3, §8, §11).

    GET  /sandbox/faults    what is on and how often it will still happen
    PUT  /sandbox/faults    what shall be on from now; what is not named is off
    POST /sandbox/restart   the server forgets every session, as after a restart

A fault that is on is an object, one that is off is null::

    {"slow_handler": {"delay_s": 5, "during": "proofs", "times": 2},
     "duplicate_post": {}}

`times` is for how many occurrences; without it the fault happens every time.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Nobody waits for a handler any longer than this.
DELAY_MAX_S = 60.0


class Knob(StrEnum):
    """The faults by name."""

    SLOW_HANDLER = "slow_handler"
    LOST_UPDATE = "lost_update"
    DUPLICATE_POST = "duplicate_post"
    RESET_AFTER_PROCESSING = "reset_after_processing"
    STALE_READ = "stale_read"
    REPEATED_TIMEOUT = "repeated_timeout"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Fault(_Strict):
    """A fault that is switched on."""

    #: How often it will happen; None is every time.
    times: Annotated[int, Field(ge=1)] | None = None


class During(StrEnum):
    """What a slow handler is slow at: before its POSTs, or after them."""

    PROOFS = "proofs"
    COMMIT = "commit"


class SlowHandler(Fault):
    """The handler of proofs and commitments takes longer than its work."""

    delay_s: Annotated[float, Field(gt=0, le=DELAY_MAX_S, allow_inf_nan=False)] = 5.0
    during: Annotated[During, Field(strict=False)] = During.PROOFS


class Faults(_Strict):
    """Which faults are on.

    Attributes:
        slow_handler: proofs and commitments take longer; the app may be cut off (§7.3).
        lost_update: after all POSTs the change is lost, the app gets 500 (§4.3).
        duplicate_post: the endpoint's answer gets lost, so that the POST is repeated.
        reset_after_processing: the app's connection breaks when its proofs are processed.
        stale_read: a requestor sees the state before a session's last change (§8).
        repeated_timeout: TIMEOUT is announced at every access and sweep (§8).
    """

    slow_handler: SlowHandler | None = None
    lost_update: Fault | None = None
    duplicate_post: Fault | None = None
    reset_after_processing: Fault | None = None
    stale_read: Fault | None = None
    repeated_timeout: Fault | None = None


class InvalidFaults(ValueError):
    """Not a set of faults; says which field and why."""


def parse_faults(body: bytes) -> Faults:
    """The faults in a body."""
    try:
        return Faults.model_validate_json(body)
    except ValidationError as fault:
        reasons = [
            f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}"
            for one in fault.errors(include_url=False, include_input=False)
        ]
    raise InvalidFaults("; ".join(reasons))


class Knobs:
    """The faults as they are now; each occurrence is counted."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def happens(self, knob: Knob) -> bool:
        """Whether this fault happens now."""
        fault: Fault | None = getattr(self.faults, knob)
        if fault is None:
            return False
        if fault.times is not None:
            left = fault.times - 1
            remaining = fault.model_copy(update={"times": left}) if left else None
            self.faults = self.faults.model_copy(update={knob.value: remaining})
        return True

    def delay_s(self, during: During) -> float:
        """How long a handler is held up at this point."""
        slow = self.faults.slow_handler
        if slow is None or slow.during is not during:
            return 0
        return slow.delay_s if self.happens(Knob.SLOW_HANDLER) else 0
