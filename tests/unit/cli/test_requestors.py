"""`chainctl requestors`: what is said, what is refused, what is never told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from orchestrator.broker.grants import Bounds, Grants, OwnQueue, Standing
from orchestrator.broker.management import Management
from orchestrator.cli import requestors as cli
from orchestrator.domain.errors import ManagementError, NotConfigured
from orchestrator.sealing import new_key
from orchestrator.settings import IrmaServer, Sealing, Settings

NOBODY = Management("http://127.0.0.1:1", "u", "SECRET")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two requestors and a broker that does not answer; the terminal is wide."""
    monkeypatch.setenv("COLUMNS", "200")
    return Settings.model_validate(
        {
            "broker_url": "amqp://we:SECRET@127.0.0.1:1/chains",
            "management_url": "http://127.0.0.1:1",
            "database_url": "sqlite:///never.db",
            "public_url": "https://chains.example",
            "irma_server": IrmaServer(url="https://irma.example"),
            "sealing": Sealing.model_validate({"key": new_key(), "hash_key": new_key()}),
            "requestors": {
                "Acme Shop": {"key": "t1", "routing_key": "acme"},
                "globex": {"key": "t2"},
            },
            "subscribers": {"broker_url": "amqps://events.example"},
        }
    )


@dataclass(frozen=True, kw_only=True)
class FakeGrants(Grants):
    """A broker with users and queues, in memory."""

    users: set[str] = field(default_factory=set)
    queues: list[str] = field(default_factory=list)

    async def give(self, key: str, bounds: Bounds) -> str | None:
        """A password for whoever is new."""
        assert bounds.channels_max == 100
        if key in self.users:
            return None
        self.users.add(key)
        return "first"

    async def renew(self, key: str, bounds: Bounds) -> str:
        """Another one."""
        assert key == "acme"
        assert bounds.connections_max == 10
        return "second"

    async def take(self, key: str) -> bool:
        """Whether there was one."""
        found = key in self.users
        self.users.discard(key)
        return found

    async def clear(self, key: str) -> list[OwnQueue]:
        """What there was."""
        gone = list((await self.standing(key)).queues)
        self.queues.clear()
        return gone

    async def standings(self, keys: list[str]) -> list[Standing]:
        """Theirs, and of users besides."""
        return [
            Standing(
                key=key,
                user=f"requestor.{key}@chains" if key in self.users else None,
                queues=tuple(
                    OwnQueue(name=name, messages=7)
                    for name in self.queues
                    if name.startswith(f"{key}.")
                ),
                connections=0,
            )
            for key in [*keys, *sorted(self.users - set(keys))]
        ]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeGrants:
    """It answers, after all."""
    fake = FakeGrants(management=NOBODY, vhost="chains")
    monkeypatch.setattr(cli, "_grants", lambda _: fake)
    return fake


async def test_a_login_is_printed_once(
    settings: Settings, broker: FakeGrants, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the host that integrators reach; granted again, there is none to tell."""
    url = "amqps://requestor.acme%40chains:first@events.example/chains"
    await cli.grant(settings, "acme", stream=False, as_json=False)
    assert url in capsys.readouterr().out
    await cli.grant(settings, "acme", stream=False, as_json=False)
    said = capsys.readouterr().out
    assert "first" not in said
    assert "chainctl requestors rotate acme" in said
    await cli.grant(settings, "acme", stream=False, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "key": "acme",
        "user": "requestor.acme@chains",
        "url": None,
        "stream": None,
    }


async def test_rotating_prints_the_new_login(
    settings: Settings, broker: FakeGrants, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, and for scripts."""
    url = "amqps://requestor.acme%40chains:second@events.example/chains"
    await cli.rotate(settings, "acme", as_json=False)
    assert url in capsys.readouterr().out
    await cli.rotate(settings, "acme", as_json=True)
    assert json.loads(capsys.readouterr().out)["url"] == url


async def test_revoking_says_what_is_left(
    settings: Settings, broker: FakeGrants, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how that is deleted; twice is as good as once."""
    broker.users.add("acme")
    broker.queues.append("acme.own")
    await cli.revoke(settings, "acme", queues=False, as_json=False)
    said = capsys.readouterr().out
    assert "its user is removed" in said
    assert "left     acme.own" in said
    assert "revoke acme --queues" in said
    await cli.revoke(settings, "acme", queues=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "key": "acme",
        "removed": False,
        "deleted": ["acme.own"],
        "left": [],
    }
    await cli.revoke(settings, "acme", queues=True, as_json=False)
    assert "acme had no user" in capsys.readouterr().out


async def test_who_is_not_configured_any_more_is_listed_and_can_be_put_out(
    settings: Settings, broker: FakeGrants, capsys: pytest.CaptureFixture[str]
) -> None:
    """It still has its credentials."""
    broker.users.update({"globex", "initech"})
    await cli.list_requestors(settings, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["key", "acme", "globex", "initech"]
    assert "not configured any more" in lines[-1]
    await cli.list_requestors(settings, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [(one["key"], one["requestor"]) for one in told] == [
        ("acme", "Acme Shop"),
        ("globex", "globex"),
        ("initech", None),
    ]
    await cli.revoke(settings, "initech", queues=False, as_json=False)
    assert broker.users == {"globex"}


async def test_an_unknown_requestor_is_told_who_there_is(
    settings: Settings, broker: FakeGrants
) -> None:
    """By their keys; nothing is made."""
    for attempt in (
        cli.grant(settings, "Acme Shop", stream=True, as_json=False),
        cli.rotate(settings, "nobody", as_json=False),
        cli.revoke(settings, "nobody", queues=True, as_json=False),
    ):
        with pytest.raises(NotConfigured, match="there are: acme, globex"):
            await attempt
    assert not broker.users


@pytest.mark.parametrize("key", ["callbacks", "chain", "gateway", "tail"])
async def test_what_is_ours_is_no_requestors(
    settings: Settings, broker: FakeGrants, key: str
) -> None:
    """`callbacks.replay` begins as the queues of a requestor `callbacks` would."""
    broker.queues.append(f"{key}.replay")
    with pytest.raises(NotConfigured, match="reserved word"):
        await cli.revoke(settings, key, queues=True, as_json=False)
    assert broker.queues == [f"{key}.replay"]


async def test_a_broker_that_cannot_be_managed_is_told_with_the_setting(
    settings: Settings,
) -> None:
    """Without credentials."""
    with pytest.raises(
        ManagementError, match=r"127\.0\.0\.1:1 .* management_url"
    ) as told:
        await cli.list_requestors(settings, as_json=False)
    assert "SECRET" not in str(told.value)
