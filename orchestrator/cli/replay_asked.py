"""Which failures an operator means by the options of `chainctl replay`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.domain.errors import FieldInvalid, NotConfigured, UnknownReplay
from orchestrator.domain.failing import FailureReason
from orchestrator.domain.selecting import (
    CHAINS_MAX,
    FILTER,
    Selection,
    is_chain_id,
)

#: A file is not read on for ever.
_BYTES_MAX: Final = 1_000_000

_STDIN: Final = Path("-")

#: Fields whose option has another name than they have.
_OPTIONS: Final = {"endpointPace": "endpoint-pace", "failureRatioMax": "failure-ratio"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says of the failures that are meant."""

    requestor: str | None = None
    endpoint: str | None = None
    reason: FailureReason | None = None
    status: int | None = None
    step: int | None = None
    since: str | None = None
    until: str | None = None
    chains: Sequence[str] = ()
    chains_file: Path | None = None

    def selection(self) -> Selection:
        """The same with the chains that a file names.

        Raises:
            NotConfigured: naming the option, or the file and line, that is wrong.
        """
        return Selection(
            requestor=self.requestor,
            endpoint=self.endpoint,
            reason=self.reason,
            status=self.status,
            step=self.step,
            since=self.since,
            until=self.until,
            chains=self._chains(),
        )

    def _chains(self) -> list[str] | None:
        if not self.chains and self.chains_file is None:
            return None
        named = [_chain_id(name, "--chain") for name in self.chains]
        if self.chains_file is not None:
            named += _chains_in(self.chains_file)
        return named


@contextmanager
def by_option() -> Iterator[None]:
    """What is wrong with a field is told of the option that says it.

    Raises:
        NotConfigured: something is wrong.
    """
    try:
        yield
    except FieldInvalid as error:
        raise NotConfigured(_told(error)) from None
    except UnknownReplay as error:
        raise NotConfigured(f"{error}; see `chainctl replay list`") from None


def _told(error: FieldInvalid) -> str:
    if error.field == FILTER:
        return error.reason
    name = error.field.rpartition(".")[2]
    return f"--{_OPTIONS.get(name, name)}: {error.reason}"


def _chains_in(file: Path) -> list[str]:
    """The ids in a file or on stdin, one a line; empty lines and `#` lines are none."""
    lines = _text(file).splitlines()
    if len(lines) > 2 * CHAINS_MAX:
        raise NotConfigured(f"--chains {file}: more than {2 * CHAINS_MAX} lines")
    found = [
        _chain_id(line.strip(), f"--chains {file}, line {number}")
        for number, line in _meant(lines)
    ]
    if not found:
        raise NotConfigured(f"--chains {file}: there is no chain in it")
    return found


def _text(file: Path) -> str:
    try:
        if file == _STDIN:
            data = sys.stdin.buffer.read(_BYTES_MAX + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(_BYTES_MAX + 1)
        text = data.decode()
    except OSError as error:
        raise NotConfigured(f"--chains {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NotConfigured(f"--chains {file}: it is no text (UTF-8)") from None
    if len(data) > _BYTES_MAX:
        raise NotConfigured(f"--chains {file}: longer than {_BYTES_MAX} bytes")
    return text


def _meant(lines: Iterable[str]) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _chain_id(text: str, where: str) -> str:
    """A ULID; what else stands there is not repeated, as it may be anything."""
    if not is_chain_id(text):
        raise NotConfigured(f"{where}: that is no id of a chain")
    return text
