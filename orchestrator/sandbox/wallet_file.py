"""The file in which a wallet keeps its credentials: for its owner only, never half."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.sandbox.credentials import Credential


class InvalidWalletFile(ValueError):
    """The file does not hold credentials; says which one and where, never a value."""


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    attributes: dict[str, str | None]
    issuancetime: int


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    credentials: list[_Stored]


def load(file: Path) -> list[Credential] | None:
    """The credentials in the file; None where there is no file yet."""
    if not file.parent.is_dir():
        raise InvalidWalletFile(f"{file}: there is no such folder")
    try:
        content = _File.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as fault:
        reason = fault.strerror or "cannot be read"
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
    else:
        return [
            Credential(one.id, one.attributes, one.issuancetime)
            for one in content.credentials
        ]
    raise InvalidWalletFile(f"{file}: {reason}")


def save(file: Path, credentials: Sequence[Credential]) -> None:
    """Put all credentials in place of what was there, at once or not at all."""
    stored = [
        _Stored(id=one.id, attributes=dict(one.attributes), issuancetime=one.issuancetime)
        for one in credentials
    ]
    content = _File(credentials=stored).model_dump_json(indent=2).encode()
    # Made by mkstemp, a file is for its owner only.
    handle, written = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(written).replace(file)
    finally:
        Path(written).unlink(missing_ok=True)  # where it did not get so far
