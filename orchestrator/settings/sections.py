"""The sections of the configuration, each with its defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from orchestrator.domain.parting import PARTS_MAX
from orchestrator.sealing import read_key
from orchestrator.settings.values import (
    SEALING_KEY_ID,
    Attributes,
    Credentials,
    EventsUrl,
    EventType,
    HostPattern,
    KeptSeconds,
    Key,
    KeyId,
    Network,
    ProxyUrl,
    Seconds,
    WebhookSecret,
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IrmaServer(_Section):
    """The IRMA server behind us; we are one of its requestors.

    Without a key it has to run with `no_auth`. `requestor` is our name there, which
    signed requests name as their issuer.
    """

    url: str = Field(pattern=r"^https?://")
    #: Where apps and browsers reach it, if that is elsewhere: its own option `url`.
    client_url: str | None = Field(default=None, pattern=r"^https?://")
    auth_method: Literal["token", "hmac", "publickey"] = "token"
    key: SecretStr | None = None
    key_file: Path | None = None
    requestor: str = Field(default="orchestrator", min_length=1)
    max_session_lifetime_s: Seconds = 900.0
    require_signed: bool | None = None
    #: What the start-up check asks for in the session that it cancels at once.
    check_attribute: Literal[""] | Attributes = "pbdf.sidn-pbdf.email.email"

    @model_validator(mode="after")
    def _keys(self) -> Self:
        if self.key is not None and self.key_file is not None:
            raise ValueError("give key or key_file, not both")
        if self.auth_method != "token" and self.key is None and self.key_file is None:
            raise ValueError(f"key or key_file: missing for {self.auth_method}")
        return self


class Allowed(_Section):
    """What callbacks may reach beyond https to public addresses."""

    allowed_networks: tuple[Network, ...] = ()
    allowed_hosts: tuple[HostPattern, ...] = ()
    allow_http: bool = False


class Egress(Allowed):
    """How callbacks leave."""

    allowed_ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = ()
    proxy: ProxyUrl | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _somebody_checks(self) -> Self:
        if "*" in self.allowed_hosts and self.proxy is None:
            raise ValueError("allowed_hosts: * is only for a proxy that checks")
        return self


class RequestorEgress(Allowed):
    """What one requestor's callbacks may reach besides, and who we are there."""

    client_certificate_file: Path | None = None
    #: In the certificate's file if not given.
    client_key_file: Path | None = None

    @model_validator(mode="after")
    def _whose_key(self) -> Self:
        if self.client_key_file is not None and self.client_certificate_file is None:
            raise ValueError("client_key_file: there is no client_certificate_file")
        return self

    @model_validator(mode="after")
    def _not_all(self) -> Self:
        if "*" in self.allowed_hosts:
            raise ValueError("allowed_hosts: * is only for everybody, with a proxy")
        return self


class Retry(_Section):
    """The two retry clocks of DESIGN §4."""

    live_delays_s: tuple[Seconds, ...] = (0.25, 0.5, 1.0)
    background_delays_s: tuple[Seconds, ...] = (
        5.0,
        30.0,
        120.0,
        600.0,
        1_800.0,
        7_200.0,
        18_000.0,
        36_000.0,
    )
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.2
    retry_after_max_s: Seconds = 3_600.0


class Requestor(_Section):
    """One integrator, with the IRMA server's own option names.

    `key` is the token itself, the secret in base64 (`hmac`) or a public key in PEM.
    """

    auth_method: Literal["token", "hmac", "publickey"] = "token"
    key: SecretStr | None = None
    key_file: Path | None = None
    disclose_perms: tuple[Attributes, ...] = ()
    sign_perms: tuple[Attributes, ...] = ()
    issue_perms: tuple[Credentials, ...] = ()
    revoke_perms: tuple[Credentials, ...] = ()
    host_perms: tuple[str, ...] = ()
    #: What it says of the retry clocks goes before the common section.
    retry: Retry = Retry()
    #: Routing keys, broker user and queues are named by this (DESIGN §2).
    routing_key: str | None = None
    #: Each signs what we POST (Standard Webhooks); several while they are changed.
    webhook_secrets: Annotated[tuple[WebhookSecret, ...], Field(max_length=8)] = ()
    egress: RequestorEgress = RequestorEgress()
    #: Goes before the common `results_kept_s`.
    results_kept_s: KeptSeconds | None = None
    #: Where its events are POSTed; without types, all of them.
    events_url: EventsUrl | None = None
    events_types: Annotated[tuple[EventType, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _types_of_what(self) -> Self:
        if self.events_types and self.events_url is None:
            raise ValueError("events_types: there is no events_url")
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_file is None):
            raise ValueError("key: give it or key_file, one of the two")
        return self


class Operator(_Section):
    """Somebody who may use the operators' API.

    `key` is the token itself, or `sha256:` and its hash in hexadecimal.
    """

    key: SecretStr | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_file is None):
            raise ValueError("key: give it or key_file, one of the two")
        return self


class Subscribers(_Section):
    """What a requestor has on the broker (`chainctl requestors`)."""

    #: Where they reach it, if that is elsewhere.
    broker_url: str | None = Field(default=None, pattern=r"^amqps?://[^/@?#]+/?$")
    connections_max: Annotated[int, Field(ge=1, le=10_000)] = 10
    channels_max: Annotated[int, Field(ge=1, le=100_000)] = 100
    #: Of each of their queues.
    queue_bytes_max: Annotated[int, Field(ge=1_000_000)] = 256_000_000
    #: How long an event waits in one, and how long one stays that nobody uses.
    queue_kept_s: Seconds = 7 * 24 * 3600.0
    stream_bytes_max: Annotated[int, Field(ge=10_000_000)] = 1_000_000_000
    stream_kept_s: Seconds = 7 * 24 * 3600.0


class PublishedKey(_Section):
    """A public key (PEM) that receivers may trust besides the one that signs."""

    key: SecretStr | None = None
    key_file: Path | None = None
    kid: KeyId | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_file is None):
            raise ValueError("key: give it or key_file, one of the two")
        return self


class Sealing(_Section):
    """The keys of the one envelope for secrets; `chainctl keys new` makes one."""

    key: Key
    key_id: str = Field(default="k1", pattern=SEALING_KEY_ID)
    hash_key: Key
    #: By id; they open and do not seal: earlier keys, and the next one before its time.
    older_keys: dict[str, Key] = Field(default_factory=dict)

    @field_validator("hash_key")
    @classmethod
    def _another(cls, hash_key: SecretStr, info: ValidationInfo) -> SecretStr:
        key = info.data.get("key")
        texts = [one.get_secret_value() for one in (key, hash_key) if one is not None]
        if key is not None and len({read_key(text) for text in texts}) == 1:
            msg = "must be another key than sealing.key"
            raise ValueError(msg)
        return hash_key

    @field_validator("older_keys", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        """Before the keys are looked at: what stands in an id's place may be a secret."""
        ids = given if isinstance(given, Mapping) else ()
        if not all(re.fullmatch(SEALING_KEY_ID, str(key_id)) for key_id in ids):
            raise ValueError("a key's id is 1 to 16 letters and digits")
        return given

    @field_validator("older_keys")
    @classmethod
    def _each_once(
        cls, older: dict[str, SecretStr], info: ValidationInfo
    ) -> dict[str, SecretStr]:
        if info.data.get("key_id") in older:
            msg = f"{info.data['key_id']} is the id of sealing.key: give each key its own"
            raise ValueError(msg)
        others = {f"sealing.{name}": info.data.get(name) for name in ("key", "hash_key")}
        owners = {_key_of(key): name for name, key in others.items() if key is not None}
        for key_id, key in older.items():
            owner = owners.setdefault(_key_of(key), key_id)
            if owner != key_id:
                raise ValueError(f"{key_id} is the same key as {owner}")
        return older

    def older(self) -> dict[str, bytes]:
        """The keys that only open, by id."""
        return {key_id: _key_of(key) for key_id, key in self.older_keys.items()}


def _key_of(text: SecretStr) -> bytes:
    return read_key(text.get_secret_value())


class Listen(_Section):
    """Where the gateway listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8088


class HealthListen(_Section):
    """Each process of a machine needs a port of its own."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)]


class Health(_Section):
    """Where a worker process tells how it is; the gateway does so where it listens."""

    listen: HealthListen | None = None


class Callbacks(_Section):
    """Limits of one POST, and of the answer that may come later (202)."""

    timeout_s: Seconds = 20.0
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 20.0
    answer_bytes_max: Annotated[int, Field(ge=1024)] = 1024 * 1024
    concurrency: Annotated[int, Field(ge=1, le=2000)] = 64
    reply_s: Seconds = 3_600.0


class Isolation(_Section):
    """What keeps one endpoint's trouble from the others' callbacks (DESIGN §4)."""

    #: Attempts at a time at one endpoint in one worker process.
    limit: Annotated[int, Field(ge=1, le=500)] = 16
    wait_s: Annotated[float, Field(ge=0, le=10)] = 1.0
    breaker: bool = True
    window_s: Seconds = 60.0
    attempts_min: Annotated[int, Field(ge=1)] = 10
    failure_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    pause_s: Seconds = 10.0
    pause_max_s: Seconds = 300.0
    refresh_s: Seconds = 5.0


class History(_Section):
    """How the history is written."""

    #: By a hash of the chain's id; each is written by one worker at a time.
    parts: Annotated[int, Field(ge=1, le=PARTS_MAX)] = 1


class ChainBudget(_Section):
    """How long a chain may become."""

    steps_max: Annotated[int, Field(ge=1, le=1000)] = 20
    wall_time_s: Seconds = 7 * 24 * 3600.0
    identical_max: Annotated[int, Field(ge=1, le=1000)] = 3


class Logs(_Section):
    """How the processes log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
