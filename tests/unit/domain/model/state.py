"""What there is at a moment: the rows, the messages, who is at work, and the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.domain.chain import Slot, Step, StepState
from orchestrator.domain.lookup import Lookup
from tests.unit.domain.model.irma import IrmaServer, Session
from tests.unit.domain.model.ledger import Ledger
from tests.unit.domain.samples import CHAIN, FIRST, NOW


@dataclass(frozen=True)
class Callback:
    """A proved result, on its way to the endpoint or, with an answer, back from it."""

    slot: Slot
    token: str
    reply: int
    deadline: datetime
    answer: str | None = None


@dataclass(frozen=True)
class Note:
    """A proved result was taken in while the store was away."""

    slot: Slot
    token: str


@dataclass(frozen=True)
class Intake:
    """A final state, announced by a callback or stored as a look-up has found."""

    slot: Slot
    token: str
    status: str
    stored: bool


@dataclass(frozen=True)
class Start:
    """The row is detached."""

    slot: Slot


@dataclass(frozen=True)
class Cancel:
    """The row does not point to this session any more."""

    slot: Slot
    token: str


@dataclass(frozen=True)
class Wake:
    """The gateway is told what came of its bridge POST."""

    slot: Slot
    reply: int
    wake: str


#: What session workers handle; a wake-up is a gateway's.
Work = Callback | Note | Intake | Start | Cancel
Message = Work | Wake


@dataclass(frozen=True)
class Bridge:
    """A bridge POST at a gateway, which answers it once or dies."""

    slot: Slot
    token: str
    deadline: datetime


@dataclass
class Task:
    """A worker that starts a session; `token` once the backend has done so."""

    slot: Slot
    owner: str
    token: str | None = None


@dataclass
class State:
    """All of it."""

    now: datetime = NOW
    ledger: Ledger = field(init=False)
    irma: IrmaServer = field(default_factory=IrmaServer)
    queue: list[Message] = field(default_factory=list)
    bridges: dict[int, Bridge] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    #: Final states whose session is not known yet.
    waiting: list[Intake] = field(default_factory=list)
    posts: int = 0
    #: The slots whose result was taken in and marked (rule H4).
    marked: set[Slot] = field(default_factory=set)
    #: What the IRMA server has announced of sessions, whether it was stored or not.
    announced: dict[str, Lookup] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The first session is live, as POST /session leaves it."""
        first = self.irma.start(FIRST, self.now, chained=True, timeout_s=0)
        first.reachable = True
        row = Step(
            slot=FIRST,
            state=StepState.LIVE,
            session_type="disclosing",
            cause="chain.started",
            created_at=self.now,
            check_at=self.now + timedelta(seconds=20),
            chained=True,
            announced=True,
            token_hash=first.token,
            sealed_token=first.token,
        )
        self.ledger = Ledger(chain=CHAIN, rows={FIRST: row})

    @property
    def first(self) -> Session:
        """The session of step 1."""
        return self.irma.sessions["t1"]

    def advance(self, by: timedelta) -> None:
        """Time passes."""
        self.now += by
        self.irma.age(self.now)
