"""Looks for secrets in everything that was written anywhere."""

from __future__ import annotations

import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path


def spelled(marker: str) -> set[bytes]:
    """As it is, and as it is within base64, wherever in a group of three it begins."""
    raw = marker.encode()
    spellings = {raw}
    for lead, skipped in enumerate((0, 2, 3)):
        whole = (lead + len(raw)) * 8 // 6
        for code in (b64encode, urlsafe_b64encode):
            spellings.add(code(bytes(lead) + raw)[skipped:whole])
    return spellings


def found(needles: Collection[bytes], where: Collection[Path]) -> set[bytes]:
    """Which of them are in these files and folders."""
    contents = (content for path in where for content in _contents(path))
    return {needle for content in contents for needle in needles if needle in content}


def _contents(path: Path) -> Iterator[bytes]:
    """Of a file, or of all in a folder whose server is at work and may delete some."""
    if path.is_file():
        yield path.read_bytes()
    for folder, _, names in os.walk(path):
        for file in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                yield file.read_bytes() if file.is_file() else b""
