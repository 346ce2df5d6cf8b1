"""What the check of the IRMA server can find, and what to do about it.

Written for whoever runs the two; nothing of a requestor or a user is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from orchestrator.domain.errors import BackendRefused
from schemas.irma import ErrorKind
from schemas.messages import Wake

_UNSUPPORTED: Final = 501

#: The IRMA server's words (reference irma.md §3.3).
_HOST_REFUSED: Final = "requestor not allowed to use the requested host"


class Level(StrEnum):
    """How a part of the check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNTRIED = "untried"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One part of the check: what was looked at, how it went, what to do."""

    check: str
    level: Level
    found: str
    remedy: str = ""


#: Nobody but the integrators' own sessions can show these.
UNTRIED: Final = Finding(
    check="permissions",
    level=Level.UNTRIED,
    found="what else our entry there permits (to issue, sign, revoke) cannot be tried",
    remedy="let its lists cover those of all requestors here",
)

NOT_TRIED: Final = Finding(
    check="session",
    level=Level.UNTRIED,
    found="no session was tried, as configured, and so not the way back either",
)


def reached() -> Finding:
    """The server answers."""
    return Finding(check="reached", level=Level.OK, found="the server answers")


def away(why: str) -> Finding:
    """It does not, or not as an IRMA server."""
    return Finding(
        check="reached",
        level=Level.FAILED,
        found=why,
        remedy="look at irma_server.url, and whether the server runs; it is tried again",
    )


def not_admitted(why: str) -> Finding:
    """It does not know us."""
    return Finding(
        check="credentials",
        level=Level.FAILED,
        found=why,
        remedy=(
            "let irma_server.auth_method, key and requestor fit our entry there, and give"
            " that disclose_perms; where requests are signed, look at the clocks"
        ),
    )


def key(*, signs: bool, require_signed: bool | None) -> Finding:
    """Whether results that are POSTed to us are signed.

    Args:
        signs: whether the server has a key.
        require_signed: as it is configured; None where the server's key decides.
    """
    level, remedy = Level.WARNING, "give the server a jwt_privkey"
    if signs and require_signed is False:
        found = "the server signs what it posts, but what is not signed is believed too"
        remedy = "leave out irma_server.require_signed"
    elif signs:
        level, found, remedy = Level.OK, "the server signs what it posts", ""
    elif require_signed:
        level, found = Level.FAILED, "the server has no key, but is required to sign"
    else:
        found = "the server has no key: who knows a callback URL can invent results"
    return Finding(check="key", level=level, found=found, remedy=remedy)


def started() -> Finding:
    """A session with a callback was admitted."""
    found = "sessions that report to us are admitted"
    return Finding(check="session", level=Level.OK, found=found)


def refused(refusal: BackendRefused, *, default_host: str) -> Finding:
    """No session was; the way back could not be tried either."""
    said = refusal.message or refusal.error
    if refusal.status == _UNSUPPORTED:
        remedy = "give the server a jwt_privkey, or allow_unsigned_callbacks"
    elif said == _HOST_REFUSED:
        remedy = f"add {default_host} to the host_perms of our entry there"
    elif refusal.error == ErrorKind.UNAUTHORIZED.error:
        remedy = "permit our entry there whatever requestors are permitted here"
    else:
        remedy = "name an attribute that the server knows: irma_server.check_attribute"
    return Finding(
        check="session",
        level=Level.FAILED,
        found=f"no session could be started ({said}), so the way back is not known",
        remedy=remedy,
    )


def host(found: str, *, default_host: str) -> Finding:
    """Where sessions are, against where requests without a host are taken to be."""
    if found == default_host:
        return Finding(check="host", level=Level.OK, found=f"sessions are at {found}")
    return Finding(
        check="host",
        level=Level.WARNING,
        found=f"sessions are at {found}; host_perms are judged as for {default_host}",
        remedy=f"set irma_server.client_url to the server's own url, that of {found}",
    )


def way_back(wake: Wake | None, *, public_url: str) -> Finding:
    """What became of the POST that the server was made to send us."""
    parts = urlsplit(public_url)
    if wake is None:
        return Finding(
            check="way back",
            level=Level.FAILED,
            found=f"nothing that it posts arrives at {parts.scheme}://{parts.netloc}",
            remedy="look at name, route and TLS from the server to public_url",
        )
    if wake is Wake.FAILED:
        return Finding(
            check="way back",
            level=Level.FAILED,
            found="what it posts arrives, but is not believed",
            remedy="look for check.refused in the gateways' logs: a key, or the clocks",
        )
    found = "what it posts arrives and is believed"
    return Finding(check="way back", level=Level.OK, found=found)
