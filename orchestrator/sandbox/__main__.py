"""Run the pretend IRMA server: `python -m orchestrator.sandbox --port 8088`."""

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from pathlib import Path

import structlog
import uvloop
from aiohttp import web
from pydantic import JsonValue

from orchestrator.sandbox.config import SandboxConfig
from orchestrator.sandbox.knobs import InvalidFaults, parse_faults
from orchestrator.sandbox.server import create_app
from orchestrator.sandbox.wallet_file import InvalidWalletFile

log = structlog.get_logger(__name__)

#: How long answers under way get when the server is told to stop.
SHUTDOWN_S = 0.5


def main() -> None:
    """Read the command line and serve until told to stop."""
    arguments = _parser().parse_args()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    listener = socket.create_server((arguments.host, arguments.port))
    port = listener.getsockname()[1]
    config = configuration(arguments, default_url=f"http://{arguments.host}:{port}")
    try:
        uvloop.run(_serve(config, listener, arguments.notify_socket))
    except InvalidWalletFile as fault:
        sys.exit(str(fault))


def configuration(arguments: argparse.Namespace, default_url: str) -> SandboxConfig:
    """The configuration file, with what the command line says on top."""
    fields: dict[str, JsonValue] = {"url": default_url}
    if arguments.config:
        fields |= json.loads(arguments.config.read_text())
    if arguments.url:
        fields["url"] = arguments.url
    if arguments.token:
        fields["requestors"] = {"requestor": {"key": arguments.token}}
    if arguments.jwt_privkey:
        fields["jwt_privkey"] = arguments.jwt_privkey.read_text()
    if arguments.allow_unsigned_callbacks:
        fields["allow_unsigned_callbacks"] = True
    if arguments.wallet_file:
        fields["wallet_file"] = str(arguments.wallet_file)
    if arguments.faults is not None:
        fields["faults"] = arguments.faults
    return SandboxConfig.model_validate(fields)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.sandbox")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8088, help="0: any free port")
    parser.add_argument("--url", help="what the app reaches the server by")
    parser.add_argument("--token", help="key of the only requestor; without: no_auth")
    parser.add_argument("--jwt-privkey", type=Path, help="PEM file of an RSA key")
    parser.add_argument("--allow-unsigned-callbacks", action="store_true")
    parser.add_argument("--wallet-file", type=Path, help="where /wallet keeps its own")
    parser.add_argument("--faults", type=_faults, help="as for PUT /sandbox/faults")
    parser.add_argument("--config", type=Path, help="JSON file with further options")
    parser.add_argument("--notify-socket", help="sd_notify address to be told READY")
    return parser


def _faults(text: str) -> JsonValue:
    try:
        return parse_faults(text.encode()).model_dump(mode="json")
    except InvalidFaults as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


async def _serve(
    config: SandboxConfig, listener: socket.socket, notify_socket: str | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        create_app(config), access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    log.info("listening", port=listener.getsockname()[1])
    if notify_socket:
        _notify(notify_socket)
    await stop.wait()
    await runner.cleanup()
    log.info("stopped")


def _notify(address: str) -> None:
    """Send `READY=1` to an sd_notify address; `@` stands for the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"READY=1", address.replace("@", "\0", 1))


if __name__ == "__main__":
    main()
