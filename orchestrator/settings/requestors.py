"""Checks that concern all configured requestors together."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import requestor_keys
from orchestrator.settings.sections import IrmaServer, Requestor


def refuse_shared_keys(requestors: Mapping[str, Requestor]) -> None:
    """Who sends a key is known by it, so it may belong to only one."""
    owners: dict[str, str] = {}
    for name, requestor in requestors.items():
        if requestor.key is None or requestor.auth_method != "token":
            continue
        other = owners.setdefault(requestor.key.get_secret_value(), name)
        if other != name:
            msg = f"{other} and {name} have the same key"
            raise ValueError(msg)


def refuse_shared_webhook_secrets(requestors: Mapping[str, Requestor]) -> None:
    """Who knows a secret could sign for every other receiver that has the same."""
    owners: dict[str, str] = {}
    for name, requestor in requestors.items():
        for secret in requestor.webhook_secrets:
            text = secret.get_secret_value().strip().rstrip("=")
            if text in owners:
                msg = f"webhook_secrets: {owners[text]} and {name} have the same one"
                raise ValueError(msg)
            owners[text] = name


def refuse_short(kept_s: float, server: IrmaServer | None) -> None:
    """A session may end after its chain; until then its results have to be there.

    Args:
        kept_s: how long they are to be kept.
        server: the backend's section; None if that is wrong itself.
    """
    least_s = 2 * server.max_session_lifetime_s if server else 0.0
    if kept_s < least_s:
        msg = (
            f"must be at least {least_s:g} s, twice irma_server.max_session_lifetime_s:"
            " so long may a session live after its chain has ended"
        )
        raise ValueError(msg)


def refuse_short_retention(
    requestors: Mapping[str, Requestor], server: IrmaServer | None
) -> None:
    """What a requestor has of its own is bounded as the common one is."""
    for name, requestor in requestors.items():
        if requestor.results_kept_s is None:
            continue
        try:
            refuse_short(requestor.results_kept_s, server)
        except ValueError as error:
            raise ValueError(f"{name}.results_kept_s: {error}") from None


#: A place below `requestors`, and what is wrong there.
_Fault = tuple[tuple[int | str, ...], str]


def key_faults(given: object) -> list[_Fault]:
    """What is wrong with the routing keys of requestors, whatever else is with them."""
    faults: list[_Fault] = []
    fine: dict[str, str | None] = {}
    for name, entry in given.items() if isinstance(given, Mapping) else ():
        key = entry.get("routing_key") if isinstance(entry, Mapping) else None
        try:
            requestor_keys(fine | {name: key})
        except NotConfigured as error:
            faults.append(((name, "routing_key"), str(error)))
        else:
            fine[name] = key
    return faults


def faults_in(error: ValidationError) -> list[_Fault]:
    """What a model found wrong, by place."""
    details = error.errors(include_input=False, include_url=False)
    return [(detail["loc"], detail["msg"]) for detail in details]


def together(faults: list[_Fault]) -> ValidationError:
    """All that is wrong as one error."""
    return ValidationError.from_exception_data(
        "requestors",
        [
            InitErrorDetails(
                type=PydanticCustomError("requestor", "{reason}", {"reason": reason}),
                loc=place,
                input=None,
            )
            for place, reason in faults
        ],
    )
