"""The keys of the configuration that sign what is POSTed, and those published besides."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from orchestrator.app.credentials import required_key
from orchestrator.callbacks import (
    PrivateKey,
    PublishedKey,
    open_signer,
    private_key,
    private_key_file,
    public_key,
)
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.webhooks import WebhookSecret, read_webhook_secret
from orchestrator.ports import Signer
from orchestrator.settings import Settings


def signing(settings: Settings) -> AbstractAsyncContextManager[Signer]:
    """The signer of a process."""
    return open_signer(
        jwt_key(settings),
        kid=settings.jwt_kid,
        published=previous_keys(settings),
        webhooks=webhook_secrets(settings),
        issuer=settings.jwt_issuer,
    )


def jwt_key(settings: Settings) -> PrivateKey | None:
    """The key that signs results, if there is one."""
    if settings.jwt_privkey is not None:
        return private_key(settings.jwt_privkey.get_secret_value())
    if settings.jwt_privkey_file is not None:
        return private_key_file(settings.jwt_privkey_file)
    return None


def previous_keys(settings: Settings) -> list[PublishedKey]:
    """The keys that receivers may trust besides the one that signs.

    Raises:
        NotConfigured: naming the entry, and what is wrong with it.
    """
    keys = []
    for index, entry in enumerate(settings.jwt_previous_keys):
        whose = f"jwt_previous_keys.{index}"
        pem = required_key(entry, whose=whose)
        try:
            keys.append(PublishedKey(key=public_key(pem), kid=entry.kid))
        except NotConfigured as error:
            raise NotConfigured(f"{whose}.key: {error}") from None
    return keys


def webhook_secrets(settings: Settings) -> dict[str, list[WebhookSecret]]:
    """What signs each requestor's webhooks, by its key; the settings have checked it."""
    keys = settings.requestor_keys()
    return {
        keys[name]: [
            read_webhook_secret(secret.get_secret_value())
            for secret in requestor.webhook_secrets
        ]
        for name, requestor in settings.requestors.items()
    }
