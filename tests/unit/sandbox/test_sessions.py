"""A session's life at the pretend server, change by change."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from pydantic import JsonValue

from orchestrator.sandbox import sessions
from orchestrator.sandbox.disclosure import Checked
from orchestrator.sandbox.faults import Refused
from orchestrator.sandbox.sessions import Session
from schemas.irma import (
    ErrorKind,
    PairingMethod,
    ProofStatus,
    Status,
    irma_error,
    session_request_from,
)

NOT_NULL: JsonValue = {"type": "irma-demo.RU.studentCard.studentID", "notNull": True}
STUDENT_ID = "irma-demo.RU.studentCard.studentID"
DISCLOSURE: dict[str, JsonValue] = {
    "@context": "https://irma.app/ld/request/disclosure/v2",
    "disclose": [[[STUDENT_ID]]],
}
CHECKED = Checked(
    ProofStatus.VALID,
    [[{"rawvalue": "1", "value": {"": "1"}, "id": STUDENT_ID, "status": "PRESENT"}]],
)


def tokens() -> Callable[[], str]:
    """Tokens that tell their order."""
    numbers = count(1)
    return lambda: f"token{next(numbers)}"


def session(**extended: JsonValue) -> Session:
    """A new session of nobody, begun at 0."""
    request = session_request_from({"request": DISCLOSURE, **extended})
    return sessions.new_session(request, "", 0.0, tokens())


def connected(**extended: JsonValue) -> Session:
    """A session the app has come for, at 1."""
    return sessions.connected(
        session(**extended), app_token="app", versions=((2, 7), (2, 9)), now=1.0
    )


def test_new_session_waits_for_its_app() -> None:
    """A new session has three tokens and no result yet."""
    assert session().result().to_wire() == {
        "token": "token1",
        "status": "INITIALIZED",
        "type": "disclosing",
    }


def test_pointer_is_below_the_servers_url() -> None:
    """The pointer holds the client token."""
    assert session().pointer("https://irma.example/prefix") == {
        "u": "https://irma.example/prefix/irma/session/token2",
        "irmaqr": "disclosing",
    }


def test_pointer_honours_the_host_asked_for() -> None:
    """A request's `host` takes the place of the server's."""
    request = session_request_from({**DISCLOSURE, "host": "app.example:8443"})
    begun = sessions.new_session(request, "", 0.0, tokens())
    pointer = begun.pointer("http://irma.example")
    assert pointer["u"] == "http://app.example:8443/irma/session/token2"


@pytest.mark.parametrize(
    "plain, next_session, hint",
    [
        (DISCLOSURE, None, False),
        (DISCLOSURE, {"url": "https://shop.example"}, True),
        (
            {**DISCLOSURE, "disclose": [[[{"type": STUDENT_ID, "value": "1"}]]]},
            None,
            True,
        ),
        (
            {**DISCLOSURE, "disclose": [[[NOT_NULL]]]},
            None,
            False,
        ),
        (
            {
                "@context": "https://irma.app/ld/request/issuance/v2",
                "credentials": [{"credential": "irma-demo.RU.studentCard"}],
            },
            None,
            True,
        ),
    ],
)
def test_pairing_hint(plain: JsonValue, next_session: JsonValue, *, hint: bool) -> None:
    """Pairing is recommended when issuing, signing, chaining or fixing a value."""
    request = session_request_from({"request": plain, "nextSession": next_session})
    begun = sessions.new_session(request, "", 0.0, tokens())
    frontend = begun.package("http://irma.example")["frontendRequest"]
    assert isinstance(frontend, dict)
    assert frontend.get("pairingHint", False) is hint


def test_app_connects_once() -> None:
    """The first call connects; another one is unexpected."""
    once = connected()
    assert (once.status, once.last_active) == (Status.CONNECTED, 1.0)
    with pytest.raises(Refused, match="UNEXPECTED_REQUEST"):
        sessions.connected(once, app_token="app", versions=((2, 8), (2, 8)), now=2.0)


def test_app_has_to_bring_a_token() -> None:
    """Without a token of its own, an app is not let in."""
    with pytest.raises(Refused, match="UNAUTHORIZED"):
        sessions.connected(session(), app_token="", versions=((2, 8), (2, 8)), now=1.0)


@pytest.mark.parametrize("versions", [((2, 5), (2, 7)), ((2, 9), (2, 9))])
def test_app_of_another_time_ends_the_session(
    versions: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    """An app that does not speak 2.8 cancels the session, with the reason."""
    after = sessions.connected(session(), app_token="app", versions=versions, now=1.0)
    assert after.status is Status.CANCELLED
    assert after.error == irma_error(ErrorKind.PROTOCOL_VERSION)


@pytest.mark.parametrize(
    "begun, app_token, error",
    [
        (connected(), "another", "UNAUTHORIZED"),
        (connected(), "", "UNAUTHORIZED"),
        (session(), "", "UNAUTHORIZED"),
        (sessions.done(connected(), None), "app", "UNEXPECTED_REQUEST"),
    ],
)
def test_later_calls_are_checked(begun: Session, app_token: str, error: str) -> None:
    """Only the app that connected is served, and only while CONNECTED."""
    with pytest.raises(Refused, match=error):
        sessions.check_app(begun, app_token)


def test_proved_session_is_still_connected() -> None:
    """What a chain endpoint gets says CONNECTED and VALID."""
    wire = sessions.proved(connected(), CHECKED, 2.0).result().to_wire()
    assert (wire["status"], wire["proofStatus"]) == ("CONNECTED", "VALID")
    assert wire["disclosed"] == CHECKED.disclosed


def test_done_session_names_the_next_one() -> None:
    """The result of a chained session holds the requestor token of the next."""
    following = replace(session(), requestor_token="following")
    result = sessions.done(sessions.proved(connected(), CHECKED, 2.0), following).result()
    assert (result.status, result.next_session) == (Status.DONE, "following")


def test_cancelled_session_forgets_what_was_proved() -> None:
    """A cancelled session's result is rebuilt from scratch."""
    proved = sessions.proved(connected(), CHECKED, 2.0)
    assert sessions.cancelled(proved, 3.0).result().to_wire() == {
        "token": "token1",
        "status": "CANCELLED",
        "type": "disclosing",
    }


@pytest.mark.parametrize(
    "begun, limit_s",
    [(session(), 900), (session(timeout=60), 60), (connected(timeout=60), 901)],
)
def test_timeout(begun: Session, limit_s: float) -> None:
    """`timeout` bounds the wait for the app; connecting grants the full lifetime."""
    assert not sessions.timed_out(begun, limit_s, 900)
    assert sessions.timed_out(begun, limit_s + 0.1, 900)


def test_what_is_over_does_not_time_out() -> None:
    """A finished session stays what it was."""
    assert not sessions.timed_out(sessions.cancelled(session(), 0.0), 10_000, 900)


def test_next_session_inherits() -> None:
    """The next session has the frontend token, the requestor and the implicit list."""
    first = replace(session(), requestor="acme")
    fresh = sessions.next_session(first, first.request, [[[]]], 5.0, tokens())
    assert fresh.frontend_token == first.frontend_token
    assert (fresh.requestor, fresh.last_active) == ("acme", 5.0)
    assert fresh.disclose == [*first.request.request.disclose, [[]]]


@pytest.mark.parametrize(
    "url, augmented",
    [
        ("https://shop.example/done", "https://shop.example/done?token=token1"),
        ("https://shop.example/?a=b", "https://shop.example/?a=b&token=token1"),
    ],
)
def test_augmented_return_url(url: str, augmented: str) -> None:
    """The requestor token is appended as text, whatever the URL looks like."""
    request = session_request_from(
        {**DISCLOSURE, "clientReturnUrl": url, "augmentReturnUrl": True}
    )
    begun = sessions.new_session(request, "", 0.0, tokens())
    assert begun.request.request.client_return_url == augmented


def test_return_url_as_it_was_given() -> None:
    """Nothing is appended to a return URL unasked."""
    url = "https://shop.example/done"
    request = session_request_from({**DISCLOSURE, "clientReturnUrl": url})
    begun = sessions.new_session(request, "", 0.0, tokens())
    assert begun.request.request.client_return_url == url


def paired_with(code: str = "1761") -> Session:
    """A session whose frontend asked for pairing."""
    return sessions.with_pairing(session(), PairingMethod.PIN, lambda: code)


def test_pairing() -> None:
    """With pairing on, the app waits until the frontend says that the code was typed."""
    waiting = sessions.connected(
        paired_with(), app_token="app", versions=((2, 8), (2, 8)), now=1.0
    )
    assert waiting.status is Status.PAIRING
    with pytest.raises(Refused, match="PAIRING_REQUIRED"):
        sessions.check_app(waiting, "app")
    assert sessions.paired(waiting).status is Status.CONNECTED
    sessions.check_app(sessions.paired(waiting), "app")


def test_pairing_takes_its_time() -> None:
    """While it waits for the code, a session has its full lifetime anew."""
    begun = sessions.with_pairing(session(timeout=60), PairingMethod.PIN, lambda: "0000")
    waiting = sessions.connected(
        begun, app_token="app", versions=((2, 8), (2, 8)), now=1.0
    )
    assert not sessions.timed_out(waiting, 901, 900)
    assert sessions.timed_out(waiting, 902, 900)


def test_pairing_options() -> None:
    """The code is told as long as the method is `pin`; no method only reads."""
    on = paired_with()
    assert on.options().to_wire() == {
        "@context": "https://irma.app/ld/options/v1",
        "pairingMethod": "pin",
        "pairingCode": "1761",
    }
    assert sessions.with_pairing(on, None, lambda: "2222") is on
    off = sessions.with_pairing(on, PairingMethod.NONE, lambda: "2222")
    assert off.options().to_wire() == {
        "@context": "https://irma.app/ld/options/v1",
        "pairingMethod": "none",
    }


def test_pairing_comes_too_late() -> None:
    """Once the app is there, the frontend has no choice any more."""
    with pytest.raises(Refused, match="UNEXPECTED_REQUEST"):
        sessions.with_pairing(connected(), PairingMethod.PIN, lambda: "1761")
    with pytest.raises(Refused, match="UNEXPECTED_REQUEST"):
        sessions.paired(connected())
