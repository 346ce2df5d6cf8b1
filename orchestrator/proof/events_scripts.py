"""How chains go: what the endpoint answers to each result, where the user declines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.sandbox.wallet import StepStatus


class Said(StrEnum):
    """What the endpoint answers."""

    END = "204"
    NEXT = "200, a session with a next one"
    LAST = "200, a last session"
    AGAIN = "503"
    LATER = "503 and Retry-After"
    REFUSED = "410"
    NONSENSE = "200, no session request"


#: After these the same result is POSTed again.
ASKED_AGAIN: Final = frozenset({Said.AGAIN, Said.LATER})

#: After these a session follows.
GOES_ON: Final = frozenset({Said.NEXT, Said.LAST})

#: These fail the chain.
GIVEN_UP: Final = frozenset({Said.REFUSED, Said.NONSENSE})


@dataclass(frozen=True, kw_only=True)
class Script:
    """One way for a chain to go.

    Attributes:
        answers: for each step with a `nextSession`, what is said to each attempt.
        declines: the step at which the user does not want to; 0: none.
        notified: whether the requestor wants the result at a `callbackUrl`.
    """

    name: str
    answers: Sequence[Sequence[Said]] = ()
    declines: int = 0
    notified: bool = False

    def answer(self, step: int, attempt: int) -> Said:
        """What is said to this attempt, counted from 0; the last answer is repeated."""
        said = self.answers[step - 1]
        return said[min(attempt, len(said) - 1)]

    @property
    def chained(self) -> bool:
        """Whether the first session has a next one."""
        return bool(self.answers)

    @property
    def ends(self) -> tuple[StepStatus, ...]:
        """How each of its sessions ends for the user."""
        statuses = list[StepStatus]()
        for step in range(1, len(self.answers) + 2):
            last = self.answers[step - 1][-1] if step <= len(self.answers) else Said.END
            if step == self.declines:
                return (*statuses, StepStatus.CANCELLED)
            if last in GIVEN_UP:
                return (*statuses, StepStatus.FAILURE)
            statuses.append(StepStatus.SUCCESS)
            if last not in GOES_ON:
                return tuple(statuses)
        return tuple(statuses)


SCRIPTS: Final = (
    Script(name="no next session"),
    Script(name="204", answers=[[Said.END]]),
    Script(name="two steps", answers=[[Said.NEXT], [Said.END]]),
    Script(name="two steps, the last without next", answers=[[Said.LAST]]),
    Script(name="three steps", answers=[[Said.NEXT], [Said.NEXT], [Said.END]]),
    Script(name="503 in flow, then a last one", answers=[[Said.AGAIN, Said.LAST]]),
    Script(name="503 with Retry-After, then 204", answers=[[Said.LATER, Said.END]]),
    Script(name="410", answers=[[Said.REFUSED]]),
    Script(name="no session request", answers=[[Said.NONSENSE]]),
    Script(name="410 at step 2", answers=[[Said.NEXT], [Said.REFUSED]]),
    Script(name="declined", answers=[[Said.END]], declines=1),
    Script(name="declined at step 2", answers=[[Said.NEXT], [Said.END]], declines=2),
    Script(name="told at its callbackUrl", notified=True),
)
