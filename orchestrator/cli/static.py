"""The QR of a static session, to be printed (reference irma.md §7.9)."""

from __future__ import annotations

import json
from pathlib import Path

import segno
import typer

from orchestrator.domain.errors import NotConfigured
from orchestrator.gateway.statics import static_pointer
from orchestrator.settings import Settings

#: For print: a tenth of the picture may be damaged or covered.
ERROR_LEVEL = "m"


def show_static(
    settings: Settings, name: str, *, svg: Path | None, as_json: bool
) -> None:
    """Tell what the QR of a static session says, and draw it.

    Raises:
        NotConfigured: there is no such session, or the picture cannot be written.
    """
    if name not in settings.static_sessions:
        there = ", ".join(sorted(settings.static_sessions)) or "none"
        msg = f"static_sessions.{name}: not configured; there are: {there}"
        raise NotConfigured(msg)
    pointer = static_pointer(settings.public_url, name).to_wire()
    text = json.dumps(pointer, separators=(",", ":"))
    qr = segno.make(text, error=ERROR_LEVEL, micro=False)
    if svg is not None:
        _write(qr, svg)
    if as_json:
        typer.echo(json.dumps({"name": name, "pointer": pointer}))
        return
    typer.echo(text)
    if svg is None:
        qr.terminal(compact=True)
    else:
        typer.echo(f"drawn in {svg}")


def _write(qr: segno.QRCode, svg: Path) -> None:
    try:
        with svg.open("wb") as picture:
            qr.save(picture, kind="svg", scale=8)
    except OSError as error:
        msg = f"{svg}: {error.strerror}"
        raise NotConfigured(msg) from None
