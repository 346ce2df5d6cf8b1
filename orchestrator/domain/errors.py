"""Every error that one room tells another.

    OrchestratorError
    ├── Unavailable            hold what is in hand and try again; no attempt is spent
    │   ├── BrokerUnavailable
    │   ├── StoreUnavailable
    │   ├── BackendUnavailable
    │   │   └── NotAdmitted
    │   └── SealKeyUnknown
    ├── Refused                final for this message; say why and go on
    │   ├── BackendRefused
    │   ├── SealBroken
    │   │   └── SealExpired
    │   ├── UnknownChain
    │   ├── UnknownReplay
    │   ├── NotDone
    │   └── Undecodable
    ├── Unroutable             nobody is there to take the message
    ├── FieldInvalid           what was asked for is wrong in this field; nothing was done
    ├── ManagementError        the broker's management API did not do what we asked
    └── NotConfigured          the process cannot start like this

`held` says what a worker does with a message in hand: hold it until the fault is over
(true) or settle it (false). No other place decides that.
"""

from __future__ import annotations

from typing import ClassVar


class OrchestratorError(Exception):
    """Base of all errors of ours; texts never hold values, tokens or URL paths."""

    held: ClassVar[bool] = False


class Unavailable(OrchestratorError):
    """Something we depend on is away; it will be back."""

    held = True


class BrokerUnavailable(Unavailable):
    """The broker did not take or confirm a message in time."""


class StoreUnavailable(Unavailable):
    """The database cannot be reached or did not answer."""


class BackendUnavailable(Unavailable):
    """A session backend cannot be reached, or answered with a fault of its own."""


class NotAdmitted(BackendUnavailable):
    """A session backend refuses us, not the request: its operator has to let us in."""


class SealKeyUnknown(Unavailable):
    """A whole envelope of a key that is not here: not yet, or not any more."""


class EventUnreadable(Unavailable):
    """An event in the store is of a version that this process does not know."""


class Refused(OrchestratorError):
    """Trying again would not help."""


class BackendRefused(Refused):
    """A backend refused a session; carries what it said.

    Attributes:
        status: HTTP status the backend answered with.
        error: its error name, e.g. `INVALID_REQUEST`.
        description: its fixed text for that error.
        message: its reason in words.
    """

    def __init__(
        self, *, status: int, error: str, description: str = "", message: str = ""
    ) -> None:
        """Keep the parts; the text is the error's name and status."""
        super().__init__(f"{error} ({status})")
        self.status = status
        self.error = error
        self.description = description
        self.message = message


class SealBroken(Refused):
    """A sealed value is malformed, was made for another place, or was changed."""


class SealExpired(SealBroken):
    """A sealed value is ours and whole, but its time is over."""


class UnknownChain(Refused):
    """There is no such chain."""


class UnknownReplay(Refused):
    """There is no such plan of a replay."""


class NotDone(Refused):
    """An operator asked for what cannot be done; nothing was changed."""


class Undecodable(Refused):
    """Bytes that are not what this queue or address takes."""


class Unroutable(OrchestratorError):
    """A message came back: its queue does not exist (any more)."""


class FieldInvalid(OrchestratorError):
    """What was asked for cannot be meant; says which field is wrong, and why.

    Attributes:
        field: its name as the HTTP API has it, e.g. `filter.since`.
        reason: what is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        """Keep the parts; the text is both."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ManagementError(OrchestratorError):
    """The broker's management API did not do what we asked; says what to look at."""


class NotConfigured(OrchestratorError):
    """The configuration is incomplete or contradicts itself."""
