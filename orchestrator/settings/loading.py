"""Reads the configuration from file and environment.

The file is TOML, or JSON or YAML by its ending (`--config FILE` or
`ORCHESTRATOR_CONFIG`); `ORCHESTRATOR_…` variables go before it, nested names joined by
two underscores (`ORCHESTRATOR_IRMA_SERVER__URL`). Nothing else in the product reads the
environment.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import yaml
from pydantic import JsonValue, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from orchestrator.domain.errors import NotConfigured
from orchestrator.settings.settings import PREFIX, Settings
from schemas.events import explain

CONFIG_VARIABLE: Final = "ORCHESTRATOR_CONFIG"


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


def _toml(text: str) -> JsonValue:
    content: JsonValue = tomllib.loads(text)
    return content


_PARSERS: Final[Mapping[str, Callable[[str], JsonValue]]] = {
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


def _content(file: Path) -> dict[str, JsonValue]:
    """What a configuration file holds."""
    try:
        text = file.read_text(encoding="utf-8")
        content = _PARSERS.get(file.suffix, _toml)(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        msg = f"{file} cannot be read: {error}"
        raise NotConfigured(msg) from None
    if not isinstance(content, dict):
        msg = f"{file} cannot be read: it holds no object"
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
