"""What a chain's rows mean for its user."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import unquote

import pytest
from pydantic import JsonValue

from orchestrator.domain.chain import Chain, ChainState, Slot, Step, StepState
from orchestrator.gateway.page_view import current, followed, overtaken, page_of
from orchestrator.rows import RowSecrets
from orchestrator.sealing import Sealer
from schemas.chain_page import ChainPage, PageState
from schemas.irma import (
    SessionType,
    Status,
    session_package_from,
    session_request_from,
)
from tests.support.samples import DISCLOSURE, FULLNAME, NOW

LINK = "https://open.yivi.app/-/session#"
POINTER = {"u": "https://irma.example/irma/session/MARKER", "irmaqr": "disclosing"}
RETURN = "https://shop.example/back"


@pytest.fixture
def secrets(sealer: Sealer) -> RowSecrets:
    """Seals and opens what is in the rows."""
    return RowSecrets(sealer=sealer)


def chain(state: ChainState = ChainState.RUNNING, generation: int = 0) -> Chain:
    """A chain in this state."""
    return Chain(
        id="C1",
        requestor="acme",
        backend="irma",
        state=state,
        generation=generation,
        created_at=NOW,
    )


def row(state: StepState, number: int = 1, generation: int = 0) -> Step:
    """A step in this state, without secrets."""
    return Step(
        slot=Slot(chain_id="C1", step=number, generation=generation),
        state=state,
        session_type="disclosing",
        created_at=NOW,
        check_at=None,
    )


def pointed(secrets: RowSecrets, step: Step) -> Step:
    """The step with the pointer of its session."""
    package = session_package_from(
        {
            "sessionPtr": POINTER,
            "token": "A" * 20,
            "frontendRequest": {
                "authorization": "B" * 20,
                "minProtocolVersion": "1.0",
                "maxProtocolVersion": "1.1",
            },
        }
    )
    return replace(step, sealed_package=secrets.seal_package(step.slot, package))


def returning(
    secrets: RowSecrets, step: Step, url: str | None, *, augment: bool = False
) -> Step:
    """The step whose request had this `clientReturnUrl`, and its token."""
    plain: dict[str, JsonValue] = {"@context": DISCLOSURE, "disclose": [[[FULLNAME]]]}
    if url is not None:
        plain |= {"clientReturnUrl": url, "augmentReturnUrl": augment}
    return replace(
        step,
        sealed_request=secrets.seal_request(step.slot, session_request_from(plain)),
        sealed_token=secrets.seal_token(step.slot, f"Token{step.slot.step}"),
    )


def page(
    secrets: RowSecrets,
    *steps: Step,
    of: Chain | None = None,
    status: Status | None = None,
) -> ChainPage:
    """What is shown of these rows."""
    found = page_of(of or chain(), steps, secrets, status, universal_link=LINK)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "status,state",
    [
        (None, PageState.INITIALIZED),
        (Status.INITIALIZED, PageState.INITIALIZED),
        (Status.PAIRING, PageState.CONNECTED),
        (Status.CONNECTED, PageState.CONNECTED),
        (Status.DONE, PageState.WAITING),
        (Status.CANCELLED, PageState.WAITING),
        (Status.TIMEOUT, PageState.WAITING),
    ],
)
@pytest.mark.parametrize("row_state", [StepState.LIVE, StepState.FORWARDED])
def test_a_session_with_a_pointer_is_as_its_backend_says(
    secrets: RowSecrets, status: Status | None, state: PageState, row_state: StepState
) -> None:
    """To be scanned, at work, or over and about to be told; the pointer only at first."""
    step = pointed(secrets, row(row_state))
    shown = page(secrets, step, status=status)
    assert shown.state is state
    assert (shown.session_ptr is not None) == (state is PageState.INITIALIZED)
    assert followed(chain(), step)


@pytest.mark.parametrize("row_state", [StepState.LIVE, StepState.FORWARDED])
def test_a_session_in_flow_is_in_the_app(
    secrets: RowSecrets, row_state: StepState
) -> None:
    """Its pointer is the app's; nobody is asked for its status."""
    step = row(row_state, 2)
    shown = page(secrets, pointed(secrets, row(StepState.COMPLETED)), step)
    assert (shown.state, shown.step) == (PageState.IN_APP, 2)
    assert not followed(chain(), step)


@pytest.mark.parametrize(
    "row_state",
    [
        StepState.OFFERED,
        StepState.DETACHED,
        StepState.STARTING,
        StepState.COMPLETED,
        StepState.FINISHED,
        StepState.CANCELLED,
        StepState.EXPIRED,
        StepState.FAILED,
    ],
)
def test_everything_else_is_waited_for(secrets: RowSecrets, row_state: StepState) -> None:
    """The endpoint is asked, a session is started, an end is about to be told."""
    step = pointed(secrets, row(row_state))
    shown = page(secrets, step, status=Status.INITIALIZED)
    assert shown.state is PageState.WAITING
    assert shown.session_ptr is None
    assert not followed(chain(), step)


@pytest.mark.parametrize("state", [s for s in ChainState if s is not ChainState.RUNNING])
def test_an_end_is_told_by_its_name(secrets: RowSecrets, state: ChainState) -> None:
    """Whatever the rows say; the slot of the end is no session."""
    last = pointed(secrets, row(StepState.LIVE))
    over = chain(state)
    shown = page(secrets, last, row(StepState.END, 2), of=over, status=Status.INITIALIZED)
    assert (shown.state.value, shown.step) == (state.value, 1)
    assert shown.state.over
    assert shown.session_ptr is None
    assert not followed(over, last)


def test_no_running_state_is_over() -> None:
    """Those of the chain's end are, and no others."""
    over = {state.value for state in PageState if state.over}
    assert over == {s.value for s in ChainState if s is not ChainState.RUNNING}


def test_the_pointer_is_the_backends(secrets: RowSecrets) -> None:
    """As QR text and, quoted as the stock frontend does it, behind the universal link."""
    shown = page(secrets, pointed(secrets, row(StepState.LIVE)))
    assert shown.session_ptr is not None
    assert shown.session_ptr.to_wire() == POINTER
    assert shown.universal_link is not None
    assert shown.universal_link.startswith(f"{LINK}%7B%22u%22%3A%22https%3A%2F%2Firma")
    assert json.loads(unquote(shown.universal_link.removeprefix(LINK))) == POINTER


def test_the_latest_session_is_shown(secrets: RowSecrets) -> None:
    """Of the latest generation, whatever order the rows come in."""
    steps = [row(StepState.LIVE, 1, 1), row(StepState.FINISHED, 3), row(StepState.END, 2)]
    found = current(steps)
    assert found is not None
    assert (found.slot.generation, found.slot.step) == (1, 1)
    assert page(secrets, *steps, of=chain(generation=1)).step == 1


def test_a_closed_generation_has_nothing_to_scan(secrets: RowSecrets) -> None:
    """A replayed chain waits until its first new session is there."""
    closed = pointed(secrets, row(StepState.LIVE))
    assert page(secrets, closed, of=chain(generation=1)).state is PageState.WAITING
    assert not followed(chain(generation=1), closed)


def test_an_end_between_two_reads_is_noticed() -> None:
    """The chain was read before its end was written, the rows after it."""
    ended = [row(StepState.COMPLETED), row(StepState.END, 2)]
    assert overtaken(chain(), ended)
    assert not overtaken(chain(), ended[:1])
    assert not overtaken(chain(ChainState.COMPLETED), ended)
    assert not overtaken(chain(generation=1), ended)


def test_a_chain_without_sessions_has_no_page(secrets: RowSecrets) -> None:
    """There is nothing to say of it."""
    assert page_of(chain(), [], secrets, None, universal_link=LINK) is None


def test_the_user_goes_on_to_where_the_last_session_said(secrets: RowSecrets) -> None:
    """Sessions without a `clientReturnUrl` are passed over; only the end goes on."""
    steps = [
        returning(secrets, row(StepState.FINISHED, 1), "https://shop.example/first"),
        returning(secrets, row(StepState.FINISHED, 2), RETURN),
        returning(secrets, row(StepState.FINISHED, 3), None),
        row(StepState.END, 4),
    ]
    assert page(secrets, *steps, of=chain(ChainState.FAILED)).return_url == RETURN
    assert page(secrets, *steps).return_url is None


@pytest.mark.parametrize(
    "url,augmented",
    [
        (RETURN, f"{RETURN}?token=Token2"),
        (f"{RETURN}?a=b", f"{RETURN}?a=b&token=Token2"),
        (f"{RETURN}#x", f"{RETURN}#x?token=Token2"),
    ],
)
def test_the_token_is_appended_as_an_irma_server_does_it(
    secrets: RowSecrets, url: str, augmented: str
) -> None:
    """Of that very session, by plain concatenation (irma.md §2.2)."""
    steps = [
        returning(secrets, row(StepState.FINISHED, 2), url, augment=True),
        returning(secrets, row(StepState.FINISHED, 3), None),
    ]
    over = chain(ChainState.COMPLETED)
    assert page(secrets, *steps, of=over).return_url == augmented
    unknown = [replace(step, sealed_token=None) for step in steps]
    assert page(secrets, *unknown, of=over).return_url == url


@pytest.mark.parametrize(
    "url", ["tel:+31", "javascript:alert(1)", "https:", "//shop.example", "http://[", ""]
)
def test_nobody_is_sent_to_what_is_no_web_address(secrets: RowSecrets, url: str) -> None:
    """The session before decides then."""
    steps = [
        returning(secrets, row(StepState.FINISHED, 1), RETURN),
        returning(secrets, row(StepState.FINISHED, 2), url),
    ]
    assert page(secrets, *steps, of=chain(ChainState.COMPLETED)).return_url == RETURN


def test_another_content_has_another_revision(secrets: RowSecrets) -> None:
    """The same content always has the same, at every gateway."""
    live = pointed(secrets, row(StepState.LIVE))
    pages = [
        page(secrets, live),
        page(secrets, live, status=Status.CONNECTED),
        page(secrets, live, row(StepState.FORWARDED, 2)),
        page(secrets, live, of=chain(ChainState.COMPLETED)),
    ]
    assert len({shown.revision for shown in pages}) == len(pages)
    assert page(secrets, live).revision == pages[0].revision
    assert pages[0].session_type is SessionType.DISCLOSING
