"""Checks that concern all configured requestors together."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import requestor_keys
from orchestrator.settings.sections import Requestor


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
