"""`chainctl endpoints`: what is said, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.cli import endpoints as cli
from orchestrator.domain import breaker
from orchestrator.domain.breaker import BreakerState, Endpoint
from orchestrator.domain.errors import NotConfigured
from orchestrator.ports import PARKED, EndpointRow, Message, Store, Waiting
from orchestrator.settings import Settings
from orchestrator.store import open_store
from tests.support.samples import NOW

SHOP = "https://shop.example:443"
URL = "https://user:MARKER@SHOP.example/MARKER?x=MARKER"


@pytest.fixture
async def installed(settings: Settings) -> AsyncIterator[Store]:
    """Its database."""
    url = settings.database_url.get_secret_value()
    async with open_store(url, now=lambda: NOW) as store:
        yield store


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there to be told."""
    monkeypatch.setattr(cli, "TELL_PATIENCE_S", 0.0)


def parked(row_id: str) -> Waiting:
    """A parked callback."""
    return Waiting(
        id=row_id,
        kind=PARKED,
        due_at=NOW,
        message=Message(id=f"{row_id}:work", routing_key="callbacks", body=b"{}"),
        endpoint=SHOP,
        created_at=NOW,
    )


async def test_an_endpoint_is_paused_and_resumed(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The origin counts, nothing else of the URL is told; events wait for the broker."""
    await cli.pause_endpoint(settings, URL, "moving house")
    endpoint = await installed.endpoint(SHOP)
    assert endpoint is not None
    assert (endpoint.paused_at is not None, endpoint.note) == (True, "moving house")
    assert len(await installed.waiting(limit=9)) == 2

    with pytest.raises(NotConfigured, match=f"{SHOP} is paused already, since "):
        await cli.pause_endpoint(settings, URL, None)

    await cli.resume_endpoint(settings, URL)
    assert (await installed.endpoint(SHOP) or endpoint).paused_at is None
    told = capsys.readouterr().out
    assert f"{SHOP} is paused; callbacks to it are parked" in told
    assert "workers will know within 5 s" in told
    assert f"{SHOP} goes on\n" in told
    assert "MARKER" not in told

    with pytest.raises(NotConfigured, match="is not paused; its breaker is closed"):
        await cli.resume_endpoint(settings, URL)


@pytest.mark.parametrize("url", ["MARKER", "ftp://x.example/", "https://", "http://x:0/"])
async def test_what_is_no_url_is_refused(settings: Settings, url: str) -> None:
    """The text says what one looks like, and does not repeat it."""
    for command in (
        cli.pause_endpoint(settings, url, None),
        cli.resume_endpoint(settings, url),
        cli.show_endpoint(settings, url, as_json=False),
    ):
        with pytest.raises(NotConfigured, match="http or https and a host") as caught:
            await command
        assert "MARKER" not in str(caught.value)


async def test_an_unknown_endpoint_is_told(settings: Settings) -> None:
    """Before it parked anything there is nothing to show or to resume."""
    for command in (
        cli.resume_endpoint(settings, URL),
        cli.show_endpoint(settings, URL, as_json=True),
    ):
        with pytest.raises(NotConfigured, match=f"{SHOP}: no callback to it was ever"):
            await command


async def test_a_note_has_its_length(settings: Settings, installed: Store) -> None:
    """A longer one is refused before anything is changed."""
    with pytest.raises(NotConfigured, match="--note: at most 500 characters"):
        await cli.pause_endpoint(settings, URL, "x" * 501)
    assert await installed.endpoints() == []


async def test_endpoints_are_listed(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """State, since when, how many wait and how many failed."""
    await cli.list_endpoints(settings, as_json=False)
    assert "no callback was ever kept back" in capsys.readouterr().out
    await installed.park([parked("p1")], busy_until={})
    new = breaker.fresh(SHOP, NOW)
    opened = replace(
        new,
        state=BreakerState.OPEN,
        version=1,
        trips=1,
        attempts=20,
        failures=15,
        release_at=NOW + timedelta(seconds=10),
    )
    assert await installed.change_endpoint(new, opened, ())

    await cli.list_endpoints(settings, as_json=False)
    told = capsys.readouterr().out
    for word in (SHOP, "open", "75% of 20"):
        assert word in told

    await cli.list_endpoints(settings, as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {
            "endpoint": SHOP,
            "state": "open",
            "since": NOW.isoformat(),
            "paused": False,
            "pausedAt": None,
            "note": None,
            "parked": 1,
            "oldestParkedAt": NOW.isoformat(),
            "trips": 1,
            "attempts": 20,
            "failures": 15,
            "failureRatio": 0.75,
            "probeAt": (NOW + timedelta(seconds=10)).isoformat(),
        }
    ]


async def test_an_endpoint_is_shown(
    settings: Settings, installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the list, with its events."""
    await installed.park([parked("p1")], busy_until={})
    await cli.show_endpoint(settings, URL, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["endpoint"], told["parked"], told["timeline"]) == (SHOP, 1, [])


def test_nothing_in_a_note_steers_the_terminal() -> None:
    """Nor is it markup."""
    endpoint: Endpoint = replace(
        breaker.fresh(SHOP, NOW), paused_at=NOW, note="[red]\x1b]0;x"
    )
    table = cli._table([EndpointRow(endpoint=endpoint, parked=0, oldest_at=None)])
    (cell,) = list(table.columns[-1].cells)
    assert str(cell) == "[red]?]0;x"
