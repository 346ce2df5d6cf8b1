"""The whole configuration, checked once.

Names that the IRMA server knows too are its own, so its `requestors`, lists and keys can
be pasted in (DESIGN §7).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import (
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.domain.permissions import requestor_keys
from orchestrator.settings.requestors import (
    faults_in,
    key_faults,
    refuse_shared_keys,
    refuse_shared_webhook_secrets,
    refuse_short,
    refuse_short_retention,
    together,
)
from orchestrator.settings.sections import (
    Callbacks,
    ChainBudget,
    Egress,
    Health,
    History,
    IrmaServer,
    Isolation,
    Listen,
    Logs,
    Operator,
    PublishedKey,
    Requestor,
    Retry,
    Sealing,
    Subscribers,
)
from orchestrator.settings.values import (
    Attributes,
    BrokerUrl,
    Credentials,
    DatabaseUrl,
    KeptSeconds,
    KeyId,
    ManagementUrl,
    OperatorName,
    StaticName,
)

PREFIX: Final = "ORCHESTRATOR_"

#: The IRMA server cuts the app off at 4.2 s (reference irma.md §1.2); what we spend while
#: the app waits has to leave some for the way back.
APP_WAITS_S: Final = 4.0

#: A worker's messages in hand are at least so many times an endpoint's limit (DESIGN §4).
PREFETCH: Final = 4


class Settings(BaseSettings):
    """The configuration of every process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    broker_url: BrokerUrl
    database_url: DatabaseUrl
    #: RabbitMQ's management API; on the broker's host if not given.
    management_url: ManagementUrl | None = None
    public_url: str = Field(pattern=r"^https?://")
    irma_server: IrmaServer
    sealing: Sealing
    listen: Listen = Listen()
    health: Health = Health()
    no_auth: bool = False
    requestors: dict[str, Requestor] = Field(default_factory=dict, validate_default=True)
    #: Who may use the operators' API; without any it is off.
    operators: dict[OperatorName, Operator] = Field(default_factory=dict)
    production: bool = False
    disclose_perms: tuple[Attributes, ...] = ("*",)
    sign_perms: tuple[Attributes, ...] = ("*",)
    issue_perms: tuple[Credentials, ...] | None = None
    revoke_perms: tuple[Credentials, ...] = ()
    max_request_age: Annotated[int, Field(ge=1, le=86_400)] = 300
    static_sessions: dict[StaticName, dict[str, JsonValue]] = Field(default_factory=dict)
    sse: bool = False
    augment_client_return_url: bool = False
    augment_chain_page: bool = False
    #: What stands before a session pointer in a link that opens the app.
    universal_link: Annotated[str, Field(pattern=r"^https?://")] = (
        "https://open.yivi.app/-/session#"
    )
    callback_url_slash: bool = False
    results_kept_s: Annotated[KeptSeconds, Field(validate_default=True)] = 7 * 24 * 3600.0
    jwt_privkey: SecretStr | None = None
    jwt_privkey_file: Path | None = None
    jwt_kid: KeyId | None = None
    jwt_previous_keys: tuple[PublishedKey, ...] = ()
    jwt_issuer: str = "irmaserver"
    allow_unsigned_callbacks: bool = False
    bridge_budget_s: Annotated[float, Field(gt=0, le=3.9)] = 3.0
    confirm_budget_s: Annotated[float, Field(gt=0, le=2, validate_default=True)] = 0.2
    retry: Retry = Retry()
    callbacks: Callbacks = Callbacks()
    egress: Egress = Egress()
    isolation: Annotated[Isolation, Field(validate_default=True)] = Isolation()
    chain: ChainBudget = ChainBudget()
    history: History = History()
    subscribers: Subscribers = Subscribers()
    logs: Logs = Logs()
    #: sd_notify address; systemd and `chainctl up` set NOTIFY_SOCKET.
    notify_socket: str | None = None

    # Each check belongs to one field, for pydantic goes on to the next one: whoever has
    # to mend the configuration is told of all mistakes at once.

    @field_validator("requestors", mode="wrap")
    @classmethod
    def _admitted(
        cls, given: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[str, Requestor]:
        faults = key_faults(given)
        try:
            requestors: dict[str, Requestor] = check(given)
        except ValidationError as error:
            raise together([*faults_in(error), *faults]) from None
        if faults:
            raise together(faults)
        if not requestors and not info.data.get("no_auth", True):
            msg = "configure at least one, or set no_auth"
            raise ValueError(msg)
        refuse_shared_keys(requestors)
        refuse_shared_webhook_secrets(requestors)
        refuse_short_retention(requestors, info.data.get("irma_server"))
        return requestors

    @field_validator("jwt_privkey_file")
    @classmethod
    def _one_jwt_key(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file and info.data.get("jwt_privkey"):
            msg = "give jwt_privkey or jwt_privkey_file, not both"
            raise ValueError(msg)
        return file

    @field_validator("confirm_budget_s")
    @classmethod
    def _in_time(cls, confirm_s: float, info: ValidationInfo) -> float:
        if confirm_s + info.data.get("bridge_budget_s", 0) >= APP_WAITS_S:
            msg = (
                f"with bridge_budget_s it must stay below {APP_WAITS_S:g} s:"
                " the IRMA server cuts the app off at 4.2 s"
            )
            raise ValueError(msg)
        return confirm_s

    @field_validator("results_kept_s")
    @classmethod
    def _long_enough(cls, kept_s: float, info: ValidationInfo) -> float:
        refuse_short(kept_s, info.data.get("irma_server"))
        return kept_s

    @field_validator("isolation")
    @classmethod
    def _leaving_room(cls, isolation: Isolation, info: ValidationInfo) -> Isolation:
        callbacks = info.data.get("callbacks")
        if callbacks is not None and callbacks.concurrency < PREFETCH * isolation.limit:
            msg = (
                f"limit: callbacks.concurrency must be at least {PREFETCH} times as much,"
                " so that one endpoint leaves room for others"
            )
            raise ValueError(msg)
        return isolation

    def requestor_keys(self) -> dict[str, str]:
        """The routing key of each requestor; each name and key once."""
        return requestor_keys(
            {name: entry.routing_key for name, entry in self.requestors.items()}
        )

    @property
    def wall_time(self) -> timedelta:
        """The longest life of a chain."""
        return timedelta(seconds=self.chain.wall_time_s)
