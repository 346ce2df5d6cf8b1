"""`chainctl dead` on a real broker: what is said, and what never is."""

from __future__ import annotations

import json

import pytest
from aio_pika import RobustConnection

from orchestrator.broker.publishing import BrokerPublisher
from orchestrator.cli import dead as cli
from orchestrator.cli.dead_asked import Asked
from orchestrator.cli.replay_asked import Asked as OfChains
from orchestrator.domain.chain import Slot
from orchestrator.domain.errors import BrokerUnavailable, NotConfigured
from orchestrator.ports import Message
from orchestrator.sealing import Sealer, new_key
from orchestrator.settings import IrmaServer, Sealing, Settings
from orchestrator.work import WorkMaker
from schemas.messages import dump
from tests.broker.support import is_empty, take
from tests.support.samples import result_of

pytestmark = pytest.mark.broker

ALL = Asked()

CHAIN, OTHER = "01K00000000000000000000001", "01K00000000000000000000002"


@pytest.fixture
def settings(vhost_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation at this vhost."""
    monkeypatch.setenv("COLUMNS", "200")
    return Settings.model_validate(
        {
            "broker_url": vhost_url,
            "database_url": "sqlite:///nowhere.db",
            "public_url": "https://chains.example",
            "irma_server": IrmaServer(url="https://irma.example"),
            "sealing": Sealing.model_validate({"key": new_key(), "hash_key": new_key()}),
            "no_auth": True,
        }
    )


def buried(message_id: str, body: bytes, **headers: str) -> Message:
    """A message as we bury it."""
    told = {"reason": "step: wrong", "queue": "sessions"}
    return Message(id=message_id, routing_key="dead", body=body, headers=told | headers)


@pytest.fixture
async def two(publisher: BrokerPublisher, connection: RobustConnection) -> list[str]:
    """Work that can be decoded and bytes that cannot; the ids of both letters."""
    make = WorkMaker(sealer=Sealer(b"\x01" * 32, "k1", b"\x02" * 32))
    note = make.note(Slot(chain_id="C1", step=1), "acme", result_of("MARKER"))
    await publisher.publish(
        buried("m1", dump(note)),
        buried(
            "m2",
            b"MARKER",
            reason="body: [red]\x1b]0;x",
            note="see Token123456789012345",
        ),
    )
    return ["m1", "m2"]


async def told(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, object]]:
    """The letters, as a script sees them."""
    await cli.list_dead(settings, ALL, limit=9, as_json=True)
    letters: list[dict[str, object]] = json.loads(capsys.readouterr().out)["letters"]
    return letters


async def test_letters_are_listed_and_shown(
    settings: Settings, two: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The open part where there is one, else length and hash; nothing secret."""
    await cli.list_dead(settings, ALL, limit=1, as_json=False)
    out = capsys.readouterr().out
    assert "sessions" in out
    assert "step: wrong" in out
    assert out.endswith("2 dead, the first 1 shown: sessions 2\n")

    work, broken = await told(settings, capsys)
    assert (work["chain"], broken["chain"]) == ("C1", None)
    assert broken["open"] is None
    assert broken["bodyBytes"] == len("MARKER")
    for letter in (work, broken):
        await cli.show_dead(settings, str(letter["id"]), as_json=False)
    out = capsys.readouterr().out
    assert str(broken["bodySha256"]) in out
    for secret in ("MARKER", "v1.k1.", "Token123456789012345", "\x1b"):
        assert secret not in out + json.dumps([work, broken], ensure_ascii=False)


async def test_letters_are_requeued_and_discarded(
    settings: Settings,
    two: list[str],
    connection: RobustConnection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By id; a discard needs a word for it."""
    work, broken = [str(letter["id"]) for letter in await told(settings, capsys)]
    await cli.requeue_dead(settings, Asked(ids=[work]))
    assert capsys.readouterr().out.endswith("1 requeued: sessions 1\n")
    assert (await take(connection, "sessions")).message_id == "m1"
    with pytest.raises(NotConfigured, match="--yes: needed"):
        await cli.discard_dead(settings, Asked(ids=[broken]), yes=False)
    await cli.discard_dead(settings, Asked(reason="BODY"), yes=True)
    assert capsys.readouterr().out.endswith("1 discarded: sessions 1\n")
    assert await is_empty(connection, "dead")


async def test_letters_of_some_chains_are_requeued(
    settings: Settings,
    publisher: BrokerPublisher,
    connection: RobustConnection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And the others stay, as does what is nobody's."""
    make = WorkMaker(sealer=Sealer(b"\x01" * 32, "k1", b"\x02" * 32))
    notes = [
        make.note(Slot(chain_id=id_, step=1), "acme", result_of("MARKER"))
        for id_ in (CHAIN, OTHER)
    ]
    works = [buried(note.id, dump(note)) for note in notes]
    await publisher.publish(*works, buried("m2", b"MARKER"))
    await cli.requeue_dead(settings, Asked(chains=OfChains(chains=[CHAIN])))
    assert capsys.readouterr().out.endswith("1 requeued: sessions 1\n")
    assert (await take(connection, "sessions")).message_id == notes[0].id
    assert [one["chain"] for one in await told(settings, capsys)] == [OTHER, None]


@pytest.mark.parametrize(
    "asked,why",
    [
        (Asked(), "say which letters"),
        (Asked(ids=["m1"], every=True), "say which letters"),
        (Asked(every=True, queue="sessions"), "say which letters"),
        (Asked(ids=["m1"], chains=OfChains(chains=[CHAIN])), "say which letters"),
        (Asked(chains=OfChains(requestor="nobody")), "--requestor: 'nobody' is not"),
        (Asked(chains=OfChains(since="soon")), "--since: it needs a span"),
        (Asked(chains=OfChains(since="1h", until="2h")), "--since: .* is not before"),
        (Asked(chains=OfChains(chains=["C1"])), "--chain: that is no id of a chain"),
        (Asked(ids=["m1"]), "is no id of a dead letter"),
        (Asked(ids=["m1~0123456789ab"]), "no such letter is in 'dead'"),
    ],
)
async def test_what_is_not_meant_clearly_is_refused(
    settings: Settings, connection: RobustConnection, asked: Asked, why: str
) -> None:
    """With words, and without effect (G11)."""
    for operation in (
        cli.requeue_dead(settings, asked),
        cli.discard_dead(settings, asked, yes=True),
    ):
        with pytest.raises(NotConfigured, match=why):
            await operation


async def test_no_broker_is_said_soon(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is looking."""
    monkeypatch.setattr(cli, "PATIENCE_S", 0.0)
    away = settings.model_copy(
        update={"broker_url": type(settings.broker_url)("amqp://127.0.0.1:1/")}
    )
    with pytest.raises(BrokerUnavailable, match="no broker answered"):
        await cli.list_dead(away, ALL, limit=1, as_json=False)
