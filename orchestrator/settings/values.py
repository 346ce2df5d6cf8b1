"""Single values of the configuration: what each has to look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from orchestrator.domain.egress import read_network, read_pattern
from orchestrator.domain.endpoint import NO_ORIGIN, origin_of
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import Permissions
from orchestrator.domain.telling import read_type_pattern
from orchestrator.domain.webhooks import read_webhook_secret
from orchestrator.sealing import read_key

_DATABASE: Final = re.compile(
    r"sqlite(\+\w+)?:///(?!:memory:)[^?]+.*|postgresql(\+\w+)?://.+"
)

_HTTP: Final = frozenset({"http", "https"})


def _server(
    url: SecretStr, *, schemes: Collection[str], like: str, bare: bool = False
) -> SecretStr:
    """The URL of a server: a scheme, a host, a port that there is; no path if `bare`."""
    try:
        parts = urlsplit(url.get_secret_value())
        complete = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        complete = complete and not (bare and parts.path not in {"", "/"})
    except ValueError:  # its text repeats what stands in the port's place
        complete = False
    if not complete:
        raise ValueError(f"must look like {like}")
    return url


def _database_url(url: SecretStr) -> SecretStr:
    if not _DATABASE.fullmatch(url.get_secret_value()):
        msg = "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        raise ValueError(msg)
    return url


def _events_url(url: SecretStr) -> SecretStr:
    if origin_of(url.get_secret_value()) == NO_ORIGIN:
        raise ValueError("must look like https://HOST/PATH")
    return url


def _text(text: str, *, read: Callable[[str], object]) -> str:
    """What is read from a text, as a text again."""
    try:
        return str(read(text))
    except NotConfigured as error:
        raise ValueError(str(error)) from None


def _secret(text: SecretStr, *, read: Callable[[str], object]) -> SecretStr:
    """A secret that can be read as what it is for."""
    _text(text.get_secret_value(), read=read)
    return text


def _pattern(entry: str, *, list_name: str) -> str:
    """An entry of a permission list that can match something."""
    try:
        Permissions(**{list_name: (entry,)})
    except NotConfigured as error:
        _, _, reason = str(error).rpartition(f"{list_name}: ")
        raise ValueError(reason) from None
    return entry


Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600)]

#: For how long results are kept after the end of their chain.
KeptSeconds = Annotated[float, Field(ge=300, le=400 * 24 * 3600)]
BrokerUrl = Annotated[
    SecretStr,
    AfterValidator(
        partial(
            _server,
            schemes={"amqp", "amqps"},
            like="amqp://USER:PASSWORD@HOST:5672/VHOST (or amqps://)",
        )
    ),
]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Network = Annotated[str, AfterValidator(partial(_text, read=read_network))]
HostPattern = Annotated[str, AfterValidator(partial(_text, read=read_pattern))]
ProxyUrl = Annotated[
    SecretStr,
    AfterValidator(
        partial(
            _server, schemes=_HTTP, like="http://USER:PASSWORD@HOST:3128 (or https://)"
        )
    ),
]
ManagementUrl = Annotated[
    SecretStr,
    AfterValidator(
        partial(
            _server,
            schemes=_HTTP,
            like="http://USER:PASSWORD@HOST:15672 (or https://)",
            bare=True,
        )
    ),
]
EventsUrl = Annotated[SecretStr, AfterValidator(_events_url)]
EventType = Annotated[str, AfterValidator(partial(_text, read=read_type_pattern))]
Key = Annotated[SecretStr, AfterValidator(partial(_secret, read=read_key))]
WebhookSecret = Annotated[
    SecretStr, AfterValidator(partial(_secret, read=read_webhook_secret))
]

#: The name of a sealing key in every envelope that it has sealed.
SEALING_KEY_ID: Final = r"^[A-Za-z0-9]{1,16}$"

#: The name of a key in the header of a JWT and in the JWK set.
KeyId = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
Attributes = Annotated[str, AfterValidator(partial(_pattern, list_name="disclose_perms"))]
Credentials = Annotated[str, AfterValidator(partial(_pattern, list_name="issue_perms"))]

#: An operator is named in what is noted of who did what.
OperatorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]

#: A static session is named in its URL (reference irma.md §7.9).
StaticName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
