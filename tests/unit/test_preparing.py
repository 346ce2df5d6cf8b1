"""Session requests as their backend gets them: our URLs in, the integrator's sealed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import SealBroken
from orchestrator.preparing import SLACK, Preparer, page_url, unfit, web_url
from orchestrator.sealing import Sealer
from schemas.capabilities import Capability
from schemas.irma import SessionRequest, session_request_from
from tests.support.samples import CALLBACK, NOW, TARGET, disclosure

SLOT = Slot(chain_id="01C", step=2, generation=1)
WALL_TIME = timedelta(days=7)


@pytest.fixture
def preparer(sealer: Sealer) -> Preparer:
    """What is under test; its base URL has a path and a slash at its end."""
    return Preparer(sealer=sealer, base_url="https://a.example/x/", wall_time=WALL_TIME)


def opened(sealer: Sealer, url: str | None, kind: str) -> Capability:
    """The right in a URL of ours."""
    head = f"https://a.example/x/{kind}/"
    assert url is not None
    assert url.startswith(head)
    return sealer.open_capability(url.removeprefix(head), now=NOW)


def prepared(preparer: Preparer, *, chained: bool, told: bool = True) -> SessionRequest:
    """A request with or without URLs of the integrator's, prepared."""
    extended = {"callbackUrl": CALLBACK} if told else {}
    request = disclosure(TARGET if chained else None, validity=77, timeout=5, **extended)
    return preparer.prepared(session_request_from(request), SLOT, "acme", NOW)


def test_a_bridge_url_holds_all_that_taking_in_a_result_needs(
    preparer: Preparer, sealer: Sealer
) -> None:
    """Chain, step, generation, requestor, kind, target, validity and expiry."""
    request = prepared(preparer, chained=True)
    assert request.next_session is not None
    assert opened(sealer, request.next_session.url, "bridge") == Capability(
        kind="bridge",
        chain_id="01C",
        step=2,
        generation=1,
        requestor="acme",
        validity_s=77,
        expires_at=int((NOW + WALL_TIME + SLACK).timestamp()),
        target=TARGET,
    )


def test_only_chained_requests_have_a_bridge(preparer: Preparer) -> None:
    """Without a `nextSession` nobody is asked for the next one."""
    assert prepared(preparer, chained=False).next_session is None


@pytest.mark.parametrize("told", [True, False])
def test_every_request_has_our_callback(
    preparer: Preparer, sealer: Sealer, *, told: bool
) -> None:
    """We have to know how each session ends, whether the requestor asked to or not."""
    request = prepared(preparer, chained=True, told=told)
    capability = opened(sealer, request.callback_url, "callback")
    assert (capability.kind, capability.step) == ("callback", 2)
    assert capability.target is None  # where the requestor is told stands in its row


def test_what_the_integrator_named_is_not_shown(preparer: Preparer) -> None:
    """The backend sees neither target nor callback URL."""
    text = str(prepared(preparer, chained=True).to_wire())
    assert "MARKER" not in text
    assert "shop.example" not in text


def test_the_rest_of_the_request_stays(preparer: Preparer) -> None:
    """What is asked of the user is the integrator's."""
    wire = prepared(preparer, chained=True).to_wire()
    original = disclosure(TARGET)
    assert wire["request"] == original["request"]
    assert wire["timeout"] == 5


def test_what_is_posted_to_us_is_valid_for_irmas_own_time(preparer: Preparer) -> None:
    """The integrator's `validity` is for our JWTs; a tiny one must not shut us out."""
    assert prepared(preparer, chained=True).validity == 120


def test_a_url_ends_an_hour_after_the_chain_may(
    preparer: Preparer, sealer: Sealer
) -> None:
    """Late callbacks are taken in, but not for ever."""
    url = prepared(preparer, chained=True).callback_url or ""
    token = url.rpartition("/")[2]
    last = NOW + WALL_TIME + SLACK
    open_still = sealer.open_capability(token, now=last - timedelta(seconds=1))
    assert open_still.kind == "callback"
    with pytest.raises(SealBroken, match="expired"):
        sealer.open_capability(token, now=last)


def returning(
    preparer: Preparer, url: str | None, *, augment: bool = False
) -> SessionRequest:
    """A request that names where the app returns to, prepared."""
    request = session_request_from(disclosure(TARGET)).with_client_return_url(
        url, augment=augment
    )
    return preparer.prepared(request, SLOT, "acme", NOW)


@pytest.mark.parametrize("augment", [True, False])
def test_the_app_returns_where_the_integrator_said(
    preparer: Preparer, *, augment: bool
) -> None:
    """With the token that the IRMA server appends, if it was asked to."""
    request = returning(preparer, "https://shop.example/back", augment=augment)
    assert request.request.client_return_url == "https://shop.example/back"
    assert bool(request.request.augment_return_url) == augment


@pytest.mark.parametrize("augment", [True, False])
def test_with_the_option_the_app_returns_to_the_chain_page(
    preparer: Preparer, sealer: Sealer, *, augment: bool
) -> None:
    """The page appends the token itself, at the end of the chain."""
    paged = replace(preparer, augment_chain_page=True)
    plain = returning(paged, "https://shop.example/back", augment=augment).request
    page = page_url(sealer, "https://a.example/x/", "01C")
    assert plain.client_return_url == page
    assert page.startswith("https://a.example/x/page/v1.page.")
    assert sealer.open_page(page.rpartition("/")[2]) == "01C"
    assert not plain.augment_return_url
    assert "augmentReturnUrl" not in plain.to_wire()


@pytest.mark.parametrize("url", [None, "", "tel:+31201234567", "shop://back"])
def test_what_a_page_cannot_go_on_to_stays(preparer: Preparer, url: str | None) -> None:
    """Nothing to return to stays nothing; an address for the app alone stays its."""
    paged = replace(preparer, augment_chain_page=True)
    assert returning(paged, url).request.client_return_url == url


@pytest.mark.parametrize(
    "url,fit",
    [
        ("https://shop.example/back?a=b#c", True),
        ("HTTP://shop.example:8080", True),
        ("https://shop.example/a b", False),
        ("https://shop.example/\nx", False),
        ("https:///path", False),
        ("http://[", False),
        ("javascript://shop.example/%0Aalert(1)", False),
        ("data:text/html,x", False),
        ("/back", False),
        (None, False),
    ],
)
def test_only_web_addresses_are_gone_on_to(url: str | None, *, fit: bool) -> None:
    """A host behind http or https, and nothing that a browser would read otherwise."""
    assert web_url(url) == (url if fit else None)


@pytest.mark.trap("T14")
def test_an_empty_url_leads_nowhere() -> None:
    """In the IRMA server's words; without a `nextSession` nothing is missing."""
    request = session_request_from(disclosure() | {"nextSession": {}})
    assert unfit(request) == "nextSession provided with empty URL"
    assert unfit(session_request_from(disclosure())) is None


@pytest.mark.parametrize("chars,fits", [(30_000, True), (30_001, False)])
def test_a_url_has_to_fit_into_ours(chars: int, *, fits: bool) -> None:
    """What does not is named by its field, without its value."""
    url = "https://shop.example/MARKER".ljust(chars, "x")
    for name, request in {
        "nextSession.url": disclosure(url),
        "callbackUrl": disclosure(callbackUrl=url),
    }.items():
        reason = unfit(session_request_from(request))
        assert (reason is None) == fits
        assert reason is None or reason.startswith(f"{name}: ")
        assert "MARKER" not in (reason or "")
