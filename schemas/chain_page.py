"""What the chain page shows, as its own script and other people's pages read it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.irma import SessionPointer, SessionType


class PageState(StrEnum):
    """What the user has to do, or how the chain ended."""

    #: Scan or open the pointer.
    INITIALIZED = "initialized"
    #: The app is at work on it.
    CONNECTED = "connected"
    #: The app got this session from the one before; there is nothing to scan.
    IN_APP = "in_app"
    #: Nothing: the requestor's endpoint is asked, or the next session is being started.
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def over(self) -> bool:
        """Whether the chain has ended."""
        return self in _OVER


_OVER = frozenset(
    {PageState.COMPLETED, PageState.FAILED, PageState.CANCELLED, PageState.EXPIRED}
)


class ChainPage(BaseModel):
    """Where a chain stands for its user; what is not there is left out in JSON.

    Attributes:
        revision: another one for every other content; also the id of its event.
        step: which session of the chain this is about, from 1.
        session_type: of that session.
        session_ptr: what the QR says, only while it is to be scanned.
        universal_link: opens the app with that pointer on the same device.
        return_url: where the user goes on to, once the chain is over.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    revision: str = ""
    state: PageState
    step: Annotated[int, Field(ge=1)]
    session_type: SessionType
    session_ptr: SessionPointer | None = None
    universal_link: str | None = None
    return_url: str | None = None
