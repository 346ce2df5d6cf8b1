"""Which failures an operator means by the options of `chainctl replay`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from orchestrator.cli.asking import time_of
from orchestrator.domain.endpoint import NO_ORIGIN, origin_of
from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.failing import FailureFilter, FailureReason
from orchestrator.settings import Settings

#: More chains than that are meant by what they have in common.
CHAINS_MAX: Final = 10_000

#: A file is not read on for ever.
_BYTES_MAX: Final = 1_000_000

_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_STDIN: Final = Path("-")


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

    def filter(self, settings: Settings, now: datetime) -> FailureFilter:
        """The same for the store.

        Raises:
            NotConfigured: naming the option that is wrong, and why.
        """
        since = _time(self.since, now, "--since")
        until = _time(self.until, now, "--until")
        if since is not None and until is not None and since >= until:
            raise NotConfigured(
                f"--since {since.isoformat(timespec='seconds')} is not before"
                f" --until {until.isoformat(timespec='seconds')}"
            )
        return FailureFilter(
            requestor=_requestor(self.requestor, settings),
            endpoint=endpoint_of(self.endpoint, option="--endpoint"),
            reason=self.reason,
            status=self.status,
            step=self.step,
            since=since,
            until=until,
            chain_ids=self._chain_ids(),
        )

    def _chain_ids(self) -> tuple[str, ...] | None:
        if not self.chains and self.chains_file is None:
            return None
        named = [_chain_id(name, "--chain") for name in self.chains]
        if self.chains_file is not None:
            named += _chains_in(self.chains_file)
        ids = tuple(dict.fromkeys(named))
        if not ids:
            raise NotConfigured(f"--chains {self.chains_file}: there is no chain in it")
        if len(ids) > CHAINS_MAX:
            raise NotConfigured(
                f"at most {CHAINS_MAX} chains can be named, these are {len(ids)}"
            )
        return ids


def endpoint_of(url: str | None, *, option: str) -> str | None:
    """The origin of a URL.

    Raises:
        NotConfigured: it has none.
    """
    if url is None:
        return None
    origin = origin_of(url)
    if origin == NO_ORIGIN:
        raise NotConfigured(
            f"{option}: it needs http or https and a host, as https://HOST:PORT"
        )
    return origin


def _requestor(named: str | None, settings: Settings) -> str | None:
    """The key of a requestor, by that or by its name."""
    keys = settings.requestor_keys()
    if named is None or named in keys.values():
        return named
    if named in keys:
        return keys[named]
    there = ", ".join(sorted(keys.values())) or "none"
    msg = f"--requestor {named!a}: not configured; there are: {there}"
    raise NotConfigured(msg)


def _time(text: str | None, now: datetime, option: str) -> datetime | None:
    return None if text is None else time_of(text, now, option=option, past=True)


def _chains_in(file: Path) -> list[str]:
    """The ids in a file or on stdin, one a line; empty lines and `#` lines are none."""
    lines = _text(file).splitlines()
    if len(lines) > 2 * CHAINS_MAX:
        raise NotConfigured(f"--chains {file}: more than {2 * CHAINS_MAX} lines")
    return [
        _chain_id(line.strip(), f"--chains {file}, line {number}")
        for number, line in _meant(lines)
    ]


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
    if _ULID.fullmatch(text) is None:
        raise NotConfigured(f"{where}: that is no id of a chain")
    return text
