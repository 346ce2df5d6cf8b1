"""What a requestor may ask for (reference irma.md §3.3)."""

from urllib.parse import urlsplit

from orchestrator.sandbox.config import Requestor, SandboxConfig
from schemas.irma import IssuanceRequest, SessionRequest, SessionType
from schemas.irma.hosts import host_pattern

_NOBODY = Requestor(key="")


def denial(config: SandboxConfig, requestor: str, request: SessionRequest) -> str | None:
    """Why the requestor may not start this session; None if it may."""
    own = config.requestors.get(requestor, _NOBODY)
    for reason in (
        _issuing(own.issue_perms + config.issue_perms, request),
        _disclosing(_disclose_list(config, own, request), request),
        _host(config, own, request),
    ):
        if reason is not None:
            return reason
    return None


def may_revoke(config: SandboxConfig, requestor: str, credential: str) -> bool:
    """Whether the requestor may revoke credentials of a type (reference irma.md §3.3)."""
    own = config.requestors.get(requestor, _NOBODY)
    return _matches(credential, own.revoke_perms + config.revoke_perms)


def _issuing(permissions: tuple[str, ...], request: SessionRequest) -> str | None:
    plain = request.request
    if not isinstance(plain, IssuanceRequest):
        return None
    if not permissions:
        return "No issuer permissions configured"
    for credential in plain.credentials:
        if not _matches(credential.credential, permissions):
            return (
                "No issuer permissions configured for credential "
                f"'{credential.credential}'"
            )
    return None


def _disclose_list(
    config: SandboxConfig, own: Requestor, request: SessionRequest
) -> tuple[str, ...]:
    if request.type is SessionType.SIGNING:
        return own.sign_perms + config.sign_perms
    return own.disclose_perms + config.disclose_perms


def _disclosing(permissions: tuple[str, ...], request: SessionRequest) -> str | None:
    if request.request.disclose and not permissions:
        return ""
    for identifier in request.attribute_ids():
        if not _matches(identifier, permissions):
            return identifier
    return None


def _host(config: SandboxConfig, own: Requestor, request: SessionRequest) -> str | None:
    default = urlsplit(config.url).netloc
    host = request.request.host or default
    compiled = (host_pattern(pattern) for pattern in own.host_perms)
    if own.host_perms:
        allowed = any(one is not None and one.match(host) for one in compiled)
    else:
        allowed = host == default
    return None if allowed else "requestor not allowed to use the requested host"


def _matches(identifier: str, permissions: tuple[str, ...]) -> bool:
    """Whether `*`, `s.*`, `s.i.*`, `s.i.c.*` or the id itself is in the list."""
    parts = identifier.split(".")
    wider = (".".join([*parts[:n], "*"]) for n in range(min(len(parts), 3) + 1))
    return identifier in permissions or any(one in permissions for one in wider)
