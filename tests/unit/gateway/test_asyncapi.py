"""The AsyncAPI document says where the events really are."""

from __future__ import annotations

import json

import pytest

from orchestrator.broker.topology import TOPOLOGY
from orchestrator.gateway.asyncapi import asyncapi_document, wire_example
from schemas.contract import EVENT_TYPES, example
from schemas.contract.trees import JsonObject, fields, inlined, items, text
from schemas.events import EndpointChanged, dump_event
from workers.history import _told

DOCUMENT = asyncapi_document()
CHANNELS = fields(DOCUMENT["channels"])


def amqp(channel: JsonObject) -> JsonObject:
    """A channel's binding to AMQP."""
    return fields(fields(channel["bindings"])["amqp"])


def test_exchanges_and_streams_are_those_of_the_topology() -> None:
    """What a subscriber is told to look for is there, and of that kind."""
    exchanges = {one.name: one.type for one in TOPOLOGY.exchanges}
    for name in ("events", "endpoints"):
        exchange = fields(amqp(fields(CHANNELS[name]))["exchange"])
        assert exchanges[text(exchange["name"])] == exchange["type"]
    log = fields(amqp(fields(CHANNELS["log"]))["queue"])
    arguments = {one.name: one.arguments for one in TOPOLOGY.queues}
    assert arguments[text(log["name"])]["x-queue-type"] == "stream"


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_events_are_published_where_their_channel_says(event_type: str) -> None:
    """The history worker's own messages have the channels' addresses."""
    event = example(event_type)
    told = _told(event, b"{}")
    operators = isinstance(event, EndpointChanged)
    channel = fields(CHANNELS["endpoints" if operators else "events"])
    requestor = "" if isinstance(event, EndpointChanged) else event.requestor
    address = text(channel["address"]).replace("{type}", event_type)
    assert told.routing_key == address.replace("{requestor}", requestor)
    assert told.exchange == fields(amqp(channel)["exchange"])["name"]
    assert told.content_type == DOCUMENT["defaultContentType"]


def test_each_type_is_in_the_channels_of_who_may_see_it() -> None:
    """Of chains for requestors, of endpoints for operators, and all in the log."""
    within = {name: set(fields(fields(c)["messages"])) for name, c in CHANNELS.items()}
    assert within["log"] == set(EVENT_TYPES)
    assert within["events"] | within["endpoints"] == within["log"]
    assert within["events"] == within["requestorLog"]
    assert within["endpoints"] == {n for n in EVENT_TYPES if n.startswith("endpoint.")}


def test_every_reference_leads_somewhere() -> None:
    """Each message has a schema and an example, by references that hold."""
    whole = fields(inlined(DOCUMENT, DOCUMENT))
    assert "$ref" not in json.dumps(whole)
    for channel in fields(whole["channels"]).values():
        for name, message in fields(fields(channel)["messages"]).items():
            assert fields(fields(message)["payload"])["title"] == name
            assert fields(items(fields(message)["examples"])[0])["payload"]


def test_every_channel_has_one_who_receives() -> None:
    """The operations are a subscriber's: it receives, in every channel."""
    operations = [fields(one) for one in fields(DOCUMENT["operations"]).values()]
    assert {text(one["action"]) for one in operations} == {"receive"}
    channels = {text(fields(one["channel"])["$ref"]) for one in operations}
    assert channels == {f"#/channels/{name}" for name in CHANNELS}


def test_examples_are_as_they_are_on_the_wire() -> None:
    """In the names of the wire and without what is absent."""
    assert wire_example("chain.completed") == json.loads(
        dump_event(example("chain.completed"))
    )
