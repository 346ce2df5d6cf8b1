"""Everything that can be configured: read from file and environment, checked once.

The file is TOML, or JSON by its ending (`--config FILE` or `ORCHESTRATOR_CONFIG`);
`ORCHESTRATOR_…` variables go before it, nested names joined by two underscores
(`ORCHESTRATOR_IRMA_SERVER__URL`). Nothing else in the product reads the environment.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import Permissions, requestor_keys
from orchestrator.sealing import read_key
from schemas.events import explain

CONFIG_VARIABLE: Final = "ORCHESTRATOR_CONFIG"
PREFIX: Final = "ORCHESTRATOR_"

#: The IRMA server cuts the app off at 4.2 s (reference irma.md §1.2); what we spend while
#: the app waits has to leave some for the way back.
APP_WAITS_S: Final = 4.0

_DATABASE: Final = re.compile(
    r"sqlite(\+\w+)?:///(?!:memory:)[^?]+.*|postgresql(\+\w+)?://.+"
)


def _broker_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        named = parts.scheme in {"amqp", "amqps"} and bool(parts.hostname)
        complete = named and parts.port != 0
    except ValueError:  # its text repeats what stands in the port's place
        complete = False
    if not complete:
        msg = "must look like amqp://USER:PASSWORD@HOST:5672/VHOST (or amqps://)"
        raise ValueError(msg)
    return url


def _database_url(url: SecretStr) -> SecretStr:
    if not _DATABASE.fullmatch(url.get_secret_value()):
        msg = "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        raise ValueError(msg)
    return url


def _key(text: SecretStr) -> SecretStr:
    try:
        read_key(text.get_secret_value())
    except NotConfigured as error:
        raise ValueError(str(error)) from None
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
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Key = Annotated[SecretStr, AfterValidator(_key)]
Attributes = Annotated[str, AfterValidator(partial(_pattern, list_name="disclose_perms"))]
Credentials = Annotated[str, AfterValidator(partial(_pattern, list_name="issue_perms"))]


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
    disclose_perms: tuple[Attributes, ...] = ()
    sign_perms: tuple[Attributes, ...] = ()
    issue_perms: tuple[Credentials, ...] = ()
    host_perms: tuple[str, ...] = ()
    #: Routing keys, broker user and queues are named by this (DESIGN §2).
    routing_key: str | None = None


class Sealing(_Section):
    """The keys of the one envelope for secrets; `chainctl keys new` makes one."""

    key: Key
    key_id: str = Field(default="k1", pattern=r"^[A-Za-z0-9]{1,16}$")
    hash_key: Key

    @field_validator("hash_key")
    @classmethod
    def _another(cls, hash_key: SecretStr, info: ValidationInfo) -> SecretStr:
        key = info.data.get("key")
        texts = [one.get_secret_value() for one in (key, hash_key) if one is not None]
        if key is not None and len({read_key(text) for text in texts}) == 1:
            msg = "must be another key than sealing.key"
            raise ValueError(msg)
        return hash_key


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

    broker_url: BrokerUrl
    database_url: DatabaseUrl
    public_url: str = Field(pattern=r"^https?://")
    irma_server: IrmaServer
    sealing: Sealing
    listen: Listen = Listen()
    no_auth: bool = False
    requestors: dict[str, Requestor] = Field(default_factory=dict, validate_default=True)
    production: bool = False
    disclose_perms: tuple[Attributes, ...] = ("*",)
    sign_perms: tuple[Attributes, ...] = ("*",)
    issue_perms: tuple[Credentials, ...] | None = None
    jwt_privkey: SecretStr | None = None
    jwt_privkey_file: Path | None = None
    jwt_issuer: str = "irmaserver"
    allow_unsigned_callbacks: bool = False
    bridge_budget_s: Annotated[float, Field(gt=0, le=3.9)] = 3.5
    confirm_budget_s: Annotated[float, Field(gt=0, le=2, validate_default=True)] = 0.2
    retry: Retry = Retry()
    callbacks: Callbacks = Callbacks()
    chain: ChainBudget = ChainBudget()
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
        faults = _key_faults(given)
        try:
            requestors: dict[str, Requestor] = check(given)
        except ValidationError as error:
            raise _together([*_faults(error), *faults]) from None
        if faults:
            raise _together(faults)
        if not requestors and not info.data.get("no_auth", True):
            msg = "configure at least one, or set no_auth"
            raise ValueError(msg)
        _refuse_shared_keys(requestors)
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

    def requestor_keys(self) -> dict[str, str]:
        """The routing key of each requestor; each name and key once."""
        return requestor_keys(
            {name: entry.routing_key for name, entry in self.requestors.items()}
        )

    @property
    def wall_time(self) -> timedelta:
        """The longest life of a chain."""
        return timedelta(seconds=self.chain.wall_time_s)


def _refuse_shared_keys(requestors: Mapping[str, Requestor]) -> None:
    """Who sends a key is known by it, so it may belong to only one."""
    owners: dict[str, str] = {}
    for name, requestor in requestors.items():
        other = owners.setdefault(requestor.key.get_secret_value(), name)
        if other != name:
            msg = f"{other} and {name} have the same key"
            raise ValueError(msg)


#: A place below `requestors`, and what is wrong there.
_Fault = tuple[tuple[int | str, ...], str]


def _key_faults(given: object) -> list[_Fault]:
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


def _faults(error: ValidationError) -> list[_Fault]:
    details = error.errors(include_input=False, include_url=False)
    return [(detail["loc"], detail["msg"]) for detail in details]


def _together(faults: list[_Fault]) -> ValidationError:
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
        address = environ.get("NOTIFY_SOCKET")  # systemd's name, without our prefix
        return reader(notify_socket=address) if address else reader()
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
