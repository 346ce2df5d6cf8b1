"""Settings become the ways that callbacks leave by, and mistakes in them are named."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import JsonValue
from yarl import URL

from orchestrator.app.callback import make_egress
from orchestrator.callbacks.egress import ClientCertificate, Egress, Route
from orchestrator.domain.egress import Allowance
from orchestrator.domain.errors import NotConfigured
from orchestrator.settings import Settings, load_settings

Json = dict[str, JsonValue]

TEN = "10.0.0.0/8"


def settings(folder: Path, egress: Json, **requestors: Json) -> Settings:
    """Settings of one requestor or more, each with its own `egress`."""
    entries = {
        name: {"key": f"key of {name}", "egress": own}
        for name, own in (requestors or {"acme": {}}).items()
    }
    content = {
        "broker_url": "amqp://mq.example/",
        "database_url": "sqlite:///chains.db",
        "public_url": "https://chains.example",
        "irma_server": {"url": "https://irma.example"},
        "sealing": {"key": "A" * 43, "hash_key": "B" * 42 + "A"},
        "requestors": entries,
        "egress": egress,
    }
    file = folder / "orchestrator.json"
    file.write_text(json.dumps(content))
    return load_settings(file, {})


def test_by_default_only_the_public_is_reached(tmp_path: Path) -> None:
    """Nothing is allowed that was not asked for, and nobody stands between."""
    nothing = Route(allowance=Allowance())
    egress = make_egress(settings(tmp_path, {}))
    assert egress == Egress(common=nothing, routes={"acme": nothing})


def test_what_a_requestor_has_is_added_to_the_common(tmp_path: Path) -> None:
    """Everybody's lists, and its own besides, which nobody else has."""
    common: Json = {
        "allowed_networks": [TEN],
        "allowed_hosts": ["A.example"],
        "allowed_ports": [443],
        "proxy": "http://us:SECRET@proxy.example:3128",
        "ca_file": "/etc/ca.pem",
    }
    own: Json = {
        "allowed_networks": ["127.0.0.1"],
        "allowed_hosts": ["*.b.example"],
        "allow_http": True,
        "client_certificate_file": "/etc/acme.pem",
        "client_key_file": "/etc/acme.key",
    }
    egress = make_egress(settings(tmp_path, common, acme=own, globex={}))
    ports = frozenset({443})
    networks = (ip_network(TEN),)
    shared = Route(
        allowance=Allowance(networks=networks, hosts=("a.example",), ports=ports)
    )
    acme = Route(
        allowance=Allowance(
            networks=(*networks, ip_network("127.0.0.1")),
            hosts=("a.example", "*.b.example"),
            http=True,
            ports=ports,
        ),
        certificate=ClientCertificate(
            file=Path("/etc/acme.pem"), key_file=Path("/etc/acme.key")
        ),
    )
    assert egress == Egress(
        common=shared,
        routes={"acme": acme, "globex": shared},
        proxy=URL("http://us:SECRET@proxy.example:3128"),
        ca_file=Path("/etc/ca.pem"),
    )
    assert "SECRET" not in repr(egress)


@pytest.mark.parametrize(
    "egress,said",
    [
        ({"allowed_networks": ["10.0.0.1/8"]}, "10.0.0.1/8: no network"),
        ({"allowed_networks": ["::ffff:10.0.0.0/104"]}, "write the IPv4 network"),
        ({"allowed_hosts": ["https://a.example"]}, "neither a host name nor"),
        ({"allowed_hosts": ["10.0.0.1"]}, "it belongs into allowed_networks"),
        ({"allowed_hosts": ["*"]}, "* is only for a proxy that checks"),
        ({"allowed_ports": [0]}, "egress.allowed_ports.0"),
        ({"proxy": "SECRET"}, "must look like http://USER:PASSWORD@HOST:3128"),
        ({"proxy": "http://h:SECRET"}, "must look like http://USER:PASSWORD@HOST:3128"),
        ({"proxy": "socks5://SECRET/"}, "must look like http://USER:PASSWORD@HOST:3128"),
        ({"unknown": 1}, "egress.unknown"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, egress: Json, said: str) -> None:
    """A list that lets nothing through, or everything by mistake, stops the process."""
    with pytest.raises(NotConfigured) as caught:
        settings(tmp_path, egress)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "own,said",
    [
        ({"client_key_file": "/k"}, "there is no client_certificate_file"),
        ({"allowed_hosts": ["*"]}, "* is only for everybody, with a proxy"),
        ({"allowed_networks": ["x"]}, "x: no network"),
        ({"proxy": "http://h"}, "requestors.acme.egress.proxy"),
    ],
)
def test_a_requestors_mistakes_are_named(tmp_path: Path, own: Json, said: str) -> None:
    """With its name."""
    with pytest.raises(NotConfigured) as caught:
        settings(tmp_path, {}, acme=own)
    assert said in str(caught.value)
    assert "requestors.acme.egress" in str(caught.value)
