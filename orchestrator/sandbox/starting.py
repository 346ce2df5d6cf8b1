"""What a server looks at before it starts a session that is permitted (irma.md §2)."""

from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.schemes import scheme_refusal
from schemas.irma import IssuanceRequest, PlainRequest, SessionRequest


def start_refusal(
    config: SandboxConfig, request: SessionRequest, now: float
) -> str | None:
    """Why a session cannot be started; None if it can."""
    plain = request.request
    types = config.credential_types
    if types is not None and (reason := scheme_refusal(types, plain)):
        return reason
    return _past(plain, now) or _augmenting(config, plain)


def _past(plain: PlainRequest, now: float) -> str | None:
    if not isinstance(plain, IssuanceRequest):
        return None
    if any(one.validity is not None and one.validity < now for one in plain.credentials):
        return "cannot issue expired credentials"
    return None


def _augmenting(config: SandboxConfig, plain: PlainRequest) -> str | None:
    if not plain.augment_return_url:
        return None
    if not config.augment_client_return_url:
        return "augmenting client return url not enabled in server configuration"
    if not plain.client_return_url:
        return "cannot augment client return url: it is empty"
    return None
