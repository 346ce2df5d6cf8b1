"""Everything that can be configured: read from file and environment, checked once.

The file is TOML, or JSON by its ending (`--config FILE` or `ORCHESTRATOR_CONFIG`);
`ORCHESTRATOR_…` variables go before it, nested names joined by two underscores
(`ORCHESTRATOR_IRMA_SERVER__URL`). Nothing else in the product reads the environment.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import requestor_keys
from schemas.events import explain

CONFIG_VARIABLE: Final = "ORCHESTRATOR_CONFIG"
PREFIX: Final = "ORCHESTRATOR_"

Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IrmaServer(_Section):
    """The IRMA server behind us; we are one of its requestors."""

    url: str = Field(pattern=r"^https?://")
    key: SecretStr | None = None
    max_session_lifetime_s: Seconds = 900.0
    require_signed: bool | None = None


class Requestor(_Section):
    """One integrator, with the IRMA server's own option names."""

    auth_method: Literal["token"] = "token"
    key: SecretStr
    disclose_perms: tuple[str, ...] = ()
    sign_perms: tuple[str, ...] = ()
    issue_perms: tuple[str, ...] = ()
    host_perms: tuple[str, ...] = ()
    #: Routing keys, broker user and queues are named by this (DESIGN §2).
    routing_key: str | None = None


class Sealing(_Section):
    """The keys of the one envelope for secrets; `chainctl keys new` makes one."""

    key: SecretStr
    key_id: str = Field(default="k1", pattern=r"^[A-Za-z0-9]{1,16}$")
    hash_key: SecretStr


class Listen(_Section):
    """Where the gateway listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8088


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


class Callbacks(_Section):
    """Limits of one POST."""

    timeout_s: Seconds = 20.0
    connect_timeout_s: Seconds = 5.0
    answer_bytes_max: Annotated[int, Field(ge=1024)] = 1024 * 1024
    concurrency: Annotated[int, Field(ge=1, le=2000)] = 64


class ChainBudget(_Section):
    """How long a chain may become."""

    steps_max: Annotated[int, Field(ge=1, le=1000)] = 20
    wall_time_s: Seconds = 7 * 24 * 3600.0


class Logs(_Section):
    """How the processes log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Settings(BaseSettings):
    """The configuration of every process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    broker_url: SecretStr
    database_url: SecretStr
    public_url: str = Field(pattern=r"^https?://")
    irma_server: IrmaServer
    sealing: Sealing
    listen: Listen = Listen()
    requestors: dict[str, Requestor] = Field(default_factory=dict)
    no_auth: bool = False
    production: bool = False
    disclose_perms: tuple[str, ...] = ("*",)
    sign_perms: tuple[str, ...] = ("*",)
    issue_perms: tuple[str, ...] | None = None
    jwt_privkey: SecretStr | None = None
    jwt_privkey_file: Path | None = None
    jwt_issuer: str = "irmaserver"
    allow_unsigned_callbacks: bool = False
    bridge_budget_s: Annotated[float, Field(gt=0, le=3.9)] = 3.5
    confirm_budget_s: Annotated[float, Field(gt=0, le=2)] = 0.2
    retry: Retry = Retry()
    callbacks: Callbacks = Callbacks()
    chain: ChainBudget = ChainBudget()
    logs: Logs = Logs()
    #: sd_notify address; systemd and `chainctl up` set NOTIFY_SOCKET.
    notify_socket: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.jwt_privkey and self.jwt_privkey_file:
            msg = "give jwt_privkey or jwt_privkey_file, not both"
            raise ValueError(msg)
        if not self.no_auth and not self.requestors:
            msg = "requestors: configure at least one, or set no_auth"
            raise ValueError(msg)
        self.requestor_keys()
        return self

    def requestor_keys(self) -> dict[str, str]:
        """The routing key of each requestor; each name and key once.

        Raises:
            ValueError: a name has no key of its own; the text says which.
        """
        configured = {name: entry.routing_key for name, entry in self.requestors.items()}
        try:
            return requestor_keys(configured)
        except NotConfigured as error:
            msg = f"requestors: {error}"
            raise ValueError(msg) from None

    @property
    def wall_time(self) -> timedelta:
        """The longest life of a chain."""
        return timedelta(seconds=self.chain.wall_time_s)


def load_settings(file: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the configuration.

    Args:
        file: the configuration file; without one the environment says it all.
        environ: the process environment, only looked at for misspelt names.

    Raises:
        NotConfigured: naming every value that is missing or wrong, and why.
    """
    file = file or (
        Path(environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in environ else None
    )
    if file is not None and not file.is_file():
        msg = f"the configuration file {file} does not exist"
        raise NotConfigured(msg)
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = [
        name
        for name in environ
        if name.startswith(PREFIX)
        and name != CONFIG_VARIABLE
        and name.split("__")[0] not in known
    ]
    if unknown:
        msg = f"unknown setting in the environment: {', '.join(sorted(unknown))}"
        raise NotConfigured(msg)
    reader = _reader(_content(file) if file else {})
    try:
        return reader(notify_socket=environ.get("NOTIFY_SOCKET"))
    except ValidationError as error:
        where = f" in {file}" if file else ""
        msg = f"wrong configuration{where}: {explain(error)}"
        raise NotConfigured(msg) from None
    except SettingsError as error:  # a section or a list that is no JSON
        msg = f"the environment cannot be read: {error}"
        raise NotConfigured(msg) from None


def _content(file: Path) -> dict[str, JsonValue]:
    """What a configuration file holds."""
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        msg = f"{file} cannot be read: {error}"
        raise NotConfigured(msg) from None
    if not isinstance(content, dict):
        msg = f"{file} cannot be read: it holds no JSON object"
        raise NotConfigured(msg)
    return content


def _reader(content: dict[str, JsonValue]) -> type[Settings]:
    """Settings that are read from the environment, then from a file's content."""

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            from_file = InitSettingsSource(settings_cls, init_kwargs=dict(content))
            return (init_settings, env_settings, from_file)

    return FromFile
