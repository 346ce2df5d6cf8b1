"""What a chain's rows mean for its user: pure, so that every case can be shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from orchestrator.domain.chain import Chain, ChainState, Step, StepState
from orchestrator.preparing import web_url
from orchestrator.rows import RowSecrets
from schemas.chain_page import ChainPage, PageState
from schemas.irma import SessionPointer, SessionType, Status

#: What JavaScript's `encodeURIComponent` leaves as it is, as the stock frontend calls it.
_UNQUOTED: Final = "-_.!~*'()"

_IN_APP: Final = frozenset({StepState.FORWARDED, StepState.LIVE})
_BY_STATUS: Final = {
    Status.INITIALIZED: PageState.INITIALIZED,
    Status.PAIRING: PageState.CONNECTED,
    Status.CONNECTED: PageState.CONNECTED,
}


def current(steps: Sequence[Step]) -> Step | None:
    """The row of the session that the chain has come to; None without any."""
    sessions = [step for step in steps if step.state is not StepState.END]
    return max(sessions, key=_order, default=None)


def overtaken(chain: Chain, steps: Sequence[Step]) -> bool:
    """Whether the chain has ended between two reads: its end is among the rows."""
    return any(step.state is StepState.END and chain.takes(step.slot) for step in steps)


def followed(chain: Chain, step: Step) -> bool:
    """Whether the backend knows more of this session than its row: one to be scanned."""
    return chain.takes(step.slot) and _scannable(step)


def page_of(
    chain: Chain,
    steps: Sequence[Step],
    secrets: RowSecrets,
    status: Status | None,
    *,
    universal_link: str,
) -> ChainPage | None:
    """What the page shows; None of a chain without a session.

    Args:
        chain: its row.
        steps: its rows.
        secrets: opens what is sealed in them.
        status: what the backend says of the current session, if it was asked.
        universal_link: what stands before the pointer in a link that opens the app.
    """
    step = current(steps)
    if step is None:
        return None
    state = _state(chain, step, status)
    pointer = _pointer(step, secrets) if state is PageState.INITIALIZED else None
    page = ChainPage(
        state=state,
        step=step.slot.step,
        session_type=SessionType(step.session_type),
        session_ptr=pointer,
        universal_link=universal_link + quote(pointer_text(pointer), safe=_UNQUOTED)
        if pointer
        else None,
        return_url=_return_url(steps, secrets) if state.over else None,
    )
    return page.model_copy(update={"revision": _revision(page)})


def pointer_text(pointer: SessionPointer) -> str:
    """What the QR says."""
    return json.dumps(pointer.to_wire(), separators=(",", ":"))


def _state(chain: Chain, step: Step, status: Status | None) -> PageState:
    if chain.state is not ChainState.RUNNING:
        return PageState(chain.state.value)
    if not chain.takes(step.slot) or step.state not in _IN_APP:
        return PageState.WAITING
    if not _scannable(step):
        return PageState.IN_APP
    if status is None:
        return PageState.INITIALIZED
    return _BY_STATUS.get(status, PageState.WAITING)


def _scannable(step: Step) -> bool:
    """Whether its pointer is known; that of a forwarded one may be found out later."""
    return step.state in _IN_APP and step.sealed_package is not None


def _pointer(step: Step, secrets: RowSecrets) -> SessionPointer | None:
    package = secrets.package(step)
    return package.session_ptr if package else None


def _return_url(steps: Sequence[Step], secrets: RowSecrets) -> str | None:
    """The integrator's own `clientReturnUrl` of the last session that had one.

    With `augmentReturnUrl` that session's token is appended as the IRMA server does it,
    by plain concatenation (reference irma.md §2.2), if it was ever known.
    """
    for step in sorted(steps, key=_order, reverse=True):
        if step.sealed_request is None:
            continue
        plain = secrets.request(step).request
        url = web_url(plain.client_return_url)
        if url is None:
            continue
        token = secrets.token(step) if plain.augment_return_url else None
        return url if token is None else f"{url}{'&' if '?' in url else '?'}token={token}"
    return None


def _order(step: Step) -> tuple[int, int]:
    return step.slot.generation, step.slot.step


def _revision(page: ChainPage) -> str:
    """The same in every process, so that a viewer can go on at another gateway."""
    return sha256(page.model_dump_json().encode()).hexdigest()[:16]
