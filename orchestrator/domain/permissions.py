"""Who may ask for what (reference irma.md §3.3), and requestors' keys (DESIGN §2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.errors import NotConfigured
from schemas.irma import IssuanceRequest, SessionRequest, SessionType
from schemas.irma.hosts import host_pattern

Patterns = tuple[str, ...]

#: The key of IRMA's requestor "" (no authentication, static sessions).
ANONYMOUS: Final = "anonymous"

#: Words that are taken: as queues, by RabbitMQ, or in routing keys (DESIGN §2).
KEYS_REFUSED: Final = frozenset(
    {"callbacks", "sessions", "history", "dead", "chain", "amq", "gateway", "tail"}
)

#: AMQP's short strings end at 255 bytes; routing keys and queue names add to the key.
KEY_LENGTH_MAX: Final = 100

_KEY: Final = re.compile(r"[a-z0-9-]+")

#: How many parts the ids have that a list names: credentials to issue or to
#: revoke, attributes else.
_CREDENTIAL_PARTS: Final = 3
_ATTRIBUTE_PARTS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """The lists that apply to every requestor; IRMA's own defaults.

    Raises:
        NotConfigured: an entry could never match, as the IRMA server refuses it.
    """

    disclose_perms: Patterns = ("*",)
    sign_perms: Patterns = ("*",)
    issue_perms: Patterns = ("*",)
    revoke_perms: Patterns = ()

    def __post_init__(self) -> None:
        _check_lists("the lists for everyone", self)

    @classmethod
    def in_production(cls) -> Permissions:
        """IRMA's defaults in production: nobody may issue unless told so."""
        return cls(issue_perms=())


@dataclass(frozen=True, kw_only=True)
class Requestor:
    """An integrator: its name at the IRMA server, its key here, its own permissions.

    Raises:
        NotConfigured: an entry of a list could never match.
    """

    name: str
    key: str
    disclose_perms: Patterns = ()
    sign_perms: Patterns = ()
    issue_perms: Patterns = ()
    revoke_perms: Patterns = ()
    host_perms: Patterns = ()

    def __post_init__(self) -> None:
        _check_lists(f"requestor {self.name!r}", self)
        for pattern in self.host_perms:
            if host_pattern(pattern) is None:
                raise NotConfigured(
                    f"requestor {self.name!r}: host_perms: {pattern!r} is malformed:"
                    " a '[' without its ']', an empty range, or a '\\' at the end"
                )


@dataclass(frozen=True)
class Refusal:
    """A request is not permitted; `reason` is the IRMA error's message, maybe empty."""

    reason: str


def can_request(
    requestor: Requestor,
    request: SessionRequest,
    *,
    permissions: Permissions,
    default_host: str,
) -> Refusal | None:
    """Why this requestor may not make this request, or None when it may.

    Args:
        requestor: the one that started the chain, for every session of it.
        request: what is asked for.
        permissions: the lists that apply to everyone.
        default_host: host[:port] of the URL that session pointers have by default.
    """
    return (
        _issue_refusal(requestor, request, permissions)
        or _attribute_refusal(requestor, request, permissions)
        or _host_refusal(requestor, request.request.host or default_host, default_host)
    )


def can_revoke(
    requestor: Requestor, credential: str, *, permissions: Permissions
) -> Refusal | None:
    """Why this requestor may not revoke credentials of a type, or None when it may."""
    allowed = {*requestor.revoke_perms, *permissions.revoke_perms}
    if not allowed:
        return Refusal("")
    # What is to be revoked may have any number of parts; its issuer's are all but one.
    scheme, issuer = credential.partition(".")[0], credential.rpartition(".")[0]
    entries = ("*", f"{scheme}.*", f"{issuer}.*", credential)
    return Refusal(credential) if allowed.isdisjoint(entries) else None


def _issue_refusal(
    requestor: Requestor, request: SessionRequest, permissions: Permissions
) -> Refusal | None:
    if not isinstance(request.request, IssuanceRequest):
        return None
    allowed = {*requestor.issue_perms, *permissions.issue_perms}
    if not allowed:
        return Refusal("No issuer permissions configured")
    for wanted in request.request.credentials:
        if allowed.isdisjoint(_entries(wanted.credential, _CREDENTIAL_PARTS)):
            return Refusal(
                f"No issuer permissions configured for credential '{wanted.credential}'"
            )
    return None


def _attribute_refusal(
    requestor: Requestor, request: SessionRequest, permissions: Permissions
) -> Refusal | None:
    if not request.request.disclose:
        return None
    if request.type is SessionType.SIGNING:
        allowed = {*requestor.sign_perms, *permissions.sign_perms}
    else:
        allowed = {*requestor.disclose_perms, *permissions.disclose_perms}
    if not allowed:
        return Refusal("")
    for wanted in request.attribute_ids():
        if allowed.isdisjoint(_entries(wanted, _ATTRIBUTE_PARTS)):
            return Refusal(wanted)
    return None


def _host_refusal(requestor: Requestor, host: str, default: str) -> Refusal | None:
    if requestor.host_perms:
        allowed = any(_host_fits(pattern, host) for pattern in requestor.host_perms)
    else:
        allowed = host == default
    return None if allowed else Refusal("requestor not allowed to use the requested host")


def _entries(identifier: str, parts_max: int) -> tuple[str, ...]:
    """The entries that permit an id: itself and all that `*` stands for at its end.

    Of four parts at most, `s.i.c.*` permits the possession `s.i.c` as well as `s.i.c.a`.
    """
    parts = identifier.split(".")
    wild = (".".join([*parts[:n], "*"]) for n in range(parts_max))
    return (*wild, identifier)


def _host_fits(pattern: str, host: str) -> bool:
    """Whether a host is one the pattern means; `*` spans dots and ports, not slashes."""
    compiled = host_pattern(pattern)
    return compiled is not None and compiled.match(host) is not None


def _check_lists(whose: str, lists: Permissions | Requestor) -> None:
    for name, entries, parts_max in (
        ("disclose_perms", lists.disclose_perms, _ATTRIBUTE_PARTS),
        ("sign_perms", lists.sign_perms, _ATTRIBUTE_PARTS),
        ("issue_perms", lists.issue_perms, _CREDENTIAL_PARTS),
        ("revoke_perms", lists.revoke_perms, _CREDENTIAL_PARTS),
    ):
        for entry in entries:
            if not _well_formed(entry, parts_max):
                raise NotConfigured(
                    f"{whose}: {name}: {entry!r} must have {parts_max} parts,"
                    " or fewer with a '*' as its last"
                )


def _well_formed(entry: str, parts_max: int) -> bool:
    *first, last = entry.split(".")
    if not all(first) or not last or any("*" in part for part in first):
        return False
    return len(first) < parts_max if last == "*" else len(first) == parts_max - 1


def requestor_key(name: str, configured: str | None = None) -> str:
    """The word in routing keys, queues and broker users that stands for a requestor.

    Args:
        name: its name at the IRMA server; "" is IRMA's nobody.
        configured: the key to use in place of the lower-cased name.

    Raises:
        NotConfigured: the key is taken, or has other characters than `a-z`, `0-9`, `-`.
    """
    key = configured if configured is not None else name.lower() or ANONYMOUS
    whose = f"requestor {name!r}: the key {key!r}"
    if not _KEY.fullmatch(key) or len(key) > KEY_LENGTH_MAX:
        raise NotConfigured(
            f"{whose} is not 1 to {KEY_LENGTH_MAX} of a-z, 0-9 and '-':"
            " configure one for this requestor"
        )
    if key in KEYS_REFUSED or (name and key == ANONYMOUS):
        raise NotConfigured(f"{whose} is a reserved word: configure another one")
    return key


def requestor_keys(configured: Mapping[str, str | None]) -> dict[str, str]:
    """The key of every requestor, by name; no two may be the same.

    Args:
        configured: for each requestor's name its configured key, if any.

    Raises:
        NotConfigured: as `requestor_key`, or two requestors have one key.
    """
    owners: dict[str, str] = {}
    for name, wanted in configured.items():
        key = requestor_key(name, wanted)
        if key in owners:
            raise NotConfigured(
                f"requestors {owners[key]!r} and {name!r} have the same key {key!r}"
            )
        owners[key] = name
    return {name: key for key, name in owners.items()}
