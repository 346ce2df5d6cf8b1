"""The events as an AsyncAPI 3 document, told from the side of who receives them.

Generated from the models; the gateway serves the copy in `schemas/generated`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import TypeAdapter

from orchestrator.ports import EVENTS_EXCHANGE, Queues
from schemas.contract import EVENT_TYPES, event_schema, example
from schemas.contract.trees import JsonObject, listed
from schemas.events import CLOUDEVENTS_JSON, SOURCE, EndpointChanged, dump_event

#: Of the contract, not of the product: the first number changes when something breaks.
VERSION: Final = "1.0.0"

_JSON: Final[TypeAdapter[JsonObject]] = TypeAdapter(JsonObject)

_AMQP_BINDING: Final = "0.3.0"
_SUMMARY: Final = """\
What happens in chains of sessions, as CloudEvents 1.0 in structured JSON. A requestor
subscribes to its own events with the broker user that it is given; the channel tells
which routing keys that user may bind.

An event may arrive more than once: `id` tells. `sequence` numbers the events of a chain
from 1 without a gap. New types, new fields and new values of listed words may be added
at any time: pass over what you do not know. Events name attributes, never their values,
and endpoints by their origin.
"""
_REQUESTOR: Final = "A requestor's key, in lower case, e.g. `acme`."


def asyncapi_document() -> JsonObject:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "id": SOURCE,
        "info": {
            "title": "Session chain events",
            "version": VERSION,
            "description": _SUMMARY,
        },
        "defaultContentType": CLOUDEVENTS_JSON,
        "servers": {"amqps": _server("amqps", "5671"), "amqp": _server("amqp", "5672")},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": {name: _message(name) for name in EVENT_TYPES},
            "schemas": {name: event_schema(name) for name in EVENT_TYPES},
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "The broker user of a requestor.",
                }
            },
        },
    }


def _server(protocol: str, port: str) -> JsonObject:
    return {
        "host": f"{{host}}:{port}",
        "protocol": protocol,
        "protocolVersion": "0.9.1",
        "description": "RabbitMQ; the operator tells host and virtual host.",
        "variables": {"host": {"description": "The broker's name."}},
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    }


def _of_chains() -> list[str]:
    return [name for name, model in EVENT_TYPES.items() if model is not EndpointChanged]


def _of_endpoints() -> list[str]:
    return [name for name, model in EVENT_TYPES.items() if model is EndpointChanged]


def _channels() -> JsonObject:
    requestor: JsonObject = {"requestor": {"description": _REQUESTOR}}
    return {
        "events": _exchange(
            "{type}.{requestor}",
            "Events of chains, by type and requestor",
            "Bind a queue of your own, e.g. with `session.*.acme` or `#.acme`.",
            _of_chains(),
            requestor | {"type": _type(_of_chains())},
        ),
        "endpoints": _exchange(
            "{type}._operator",
            "Events of endpoints, for operators",
            "Nobody's key begins with an underscore, so no requestor may bind these.",
            _of_endpoints(),
            {"type": _type(_of_endpoints())},
        ),
        "log": _stream(
            Queues.LOG,
            "All events, for operators",
            "A stream: it may be read from any offset or point in time it still has.",
            EVENT_TYPES,
        ),
        "requestorLog": _stream(
            "{requestor}.log",
            "A requestor's own events, where the operator has made such a stream",
            "A stream: it may be read from any offset or point in time it still has.",
            _of_chains(),
        )
        | {"parameters": requestor},
    }


def _type(names: list[str]) -> JsonObject:
    return {"description": "What happened.", "enum": listed(names)}


def _exchange(
    address: str, title: str, description: str, names: list[str], parameters: JsonObject
) -> JsonObject:
    exchange: JsonObject = {
        "name": EVENTS_EXCHANGE,
        "type": "topic",
        "durable": True,
        "autoDelete": False,
    }
    return _channel(address, title, description, names) | {
        "parameters": parameters,
        "bindings": _amqp({"is": "routingKey", "exchange": exchange}),
    }


def _stream(name: str, title: str, description: str, names: Iterable[str]) -> JsonObject:
    queue: JsonObject = {
        "name": name,
        "durable": True,
        "exclusive": False,
        "autoDelete": False,
    }
    return _channel(name, title, description, names) | {
        "bindings": _amqp({"is": "queue", "queue": queue})
    }


def _channel(
    address: str, title: str, description: str, names: Iterable[str]
) -> JsonObject:
    messages: JsonObject = {
        name: {"$ref": f"#/components/messages/{name}"} for name in names
    }
    return {
        "address": address,
        "title": title,
        "description": description,
        "messages": messages,
    }


def _operations() -> JsonObject:
    return {
        "receiveEvents": _receive("events", _of_chains(), "Follow your chains."),
        "receiveEndpoints": _receive(
            "endpoints", _of_endpoints(), "Follow what becomes of endpoints."
        ),
        "readLog": _receive("log", EVENT_TYPES, "Follow everything, or read it again."),
        "readRequestorLog": _receive(
            "requestorLog", _of_chains(), "Follow your chains, or read them again."
        ),
    }


def _receive(channel: str, names: Iterable[str], summary: str) -> JsonObject:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
        "bindings": _amqp({"ack": True}),
    }


def _amqp(binding: JsonObject) -> JsonObject:
    return {"amqp": binding | {"bindingVersion": _AMQP_BINDING}}


def _message(name: str) -> JsonObject:
    payload: JsonObject = {"$ref": f"#/components/schemas/{name}"}
    return {
        "name": name,
        "title": name,
        "summary": event_schema(name)["description"],
        "contentType": CLOUDEVENTS_JSON,
        "payload": payload,
        "examples": [{"name": name, "payload": wire_example(name)}],
    }


def wire_example(name: str) -> JsonObject:
    """The example of a type of event, as it is on the wire."""
    return _JSON.validate_json(dump_event(example(name)))
