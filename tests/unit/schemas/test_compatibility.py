"""Every way of breaking what others rely on is seen, and nothing else is called one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import cast

import pytest
from pydantic import JsonValue

from schemas.contract import broken_events, broken_operations
from schemas.contract.comparing import Side, breaks
from schemas.contract.trees import JsonObject, at, fields, items, unescaped

Change = Callable[[JsonObject], None]

PAYLOAD: JsonObject = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string", "maxLength": 200},
        "type": {"type": "string", "const": "chain.started"},
        "data": {
            "type": "object",
            "required": ["kept", "names"],
            "properties": {
                "kept": {"type": "string", "enum": ["limit", "open"]},
                "names": {"type": "array", "items": {"type": "string"}},
                "status": {"type": "integer"},
                "which": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "more": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    },
}

EVENTS: JsonObject = {
    "channels": {
        "events": {
            "address": "{type}.{requestor}",
            "bindings": {"amqp": {"exchange": {"name": "chain.events"}}},
            "messages": {
                name: {"$ref": f"#/components/messages/{name}"}
                for name in ("chain.started", "chain.failed")
            },
        },
        "log": {"address": "chain.log", "bindings": {}, "messages": {}},
    },
    "components": {
        "messages": {
            name: {
                "contentType": "application/cloudevents+json",
                "payload": {"$ref": "#/components/schemas/event"},
            }
            for name in ("chain.started", "chain.failed")
        },
        "schemas": {"event": PAYLOAD},
    },
}

OPERATIONS: JsonObject = {
    "paths": {
        "/chains/{id}": {
            "post": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {}},
                    {"name": "lang", "in": "query", "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": PAYLOAD}},
                },
                "responses": {
                    "200": {"content": {"application/json": {"schema": PAYLOAD}}},
                    "204": {"description": "Nothing."},
                },
            }
        }
    },
}


def put(pointer: str, value: JsonValue) -> Change:
    """Sets what stands at a place."""
    parent, _, name = pointer.rpartition("/")

    def change(document: JsonObject) -> None:
        found = at(document, parent)
        if isinstance(found, list):
            found[int(name)] = value
        else:
            fields(found)[unescaped(name)] = value

    return change


def gone(pointer: str) -> Change:
    """Takes away what stands at a place."""
    parent, _, name = pointer.rpartition("/")
    return lambda document: fields(at(document, parent)).__delitem__(unescaped(name))


def renamed(pointer: str, name: str) -> Change:
    """Gives what stands at a place another name."""
    parent, _, old = pointer.rpartition("/")

    def change(document: JsonObject) -> None:
        found = fields(at(document, parent))
        found[unescaped(name)] = found.pop(unescaped(old))

    return change


def changed(document: JsonObject, change: Change) -> JsonObject:
    """A document after a change."""
    after = copy.deepcopy(json.loads(json.dumps(document)))
    change(after)
    return cast("JsonObject", after)


SCHEMA = "#/components/schemas/event"
DATA = f"{SCHEMA}/properties/data"


@pytest.mark.parametrize(
    "change,place",
    [
        pytest.param(
            gone("#/channels/events/messages/chain.failed"),
            "channel events: chain.failed is gone",
            id="event type removed",
        ),
        pytest.param(
            renamed("#/channels/events/messages/chain.failed", "chain.broken"),
            "channel events: chain.failed is gone",
            id="event type renamed",
        ),
        pytest.param(gone("#/channels/log"), "channel log: gone", id="channel removed"),
        pytest.param(
            put("#/channels/events/address", "{requestor}.{type}"),
            "channel events: address",
            id="routing key changed",
        ),
        pytest.param(
            put("#/channels/events/bindings/amqp/exchange/name", "events"),
            "channel events: bindings",
            id="exchange changed",
        ),
        pytest.param(
            put("#/components/messages/chain.failed/contentType", "application/json"),
            "chain.failed: contentType",
            id="content type changed",
        ),
        pytest.param(
            gone(f"{DATA}/properties/status"),
            "chain.started.data.status: the field is gone",
            id="field removed",
        ),
        pytest.param(
            renamed(f"{DATA}/properties/status", "code"),
            "chain.started.data.status: the field is gone",
            id="field renamed",
        ),
        pytest.param(
            put(f"{SCHEMA}/required", ["data"]),
            "chain.started.id: the field was always there and is optional",
            id="field newly optional",
        ),
        pytest.param(
            put(f"{DATA}/required", ["kept", "names", "status"]),
            "chain.started.data.status: the field is newly required",
            id="field newly required",
        ),
        pytest.param(
            put(f"{DATA}/properties/status/type", "string"),
            "chain.started.data.status: type",
            id="type changed",
        ),
        pytest.param(
            put(f"{DATA}/properties/names/items/type", "integer"),
            "chain.started.data.names[]: type",
            id="type of items changed",
        ),
        pytest.param(
            put(f"{DATA}/properties/more/additionalProperties", False),
            "chain.started.data.more: additionalProperties",
            id="map closed",
        ),
        pytest.param(
            put(f"{DATA}/properties/which/anyOf/1/type", "boolean"),
            "chain.started.data.which(1): type",
            id="choice changed",
        ),
        pytest.param(
            put(f"{DATA}/properties/which/anyOf", [{"type": "string"}]),
            "chain.started.data.which: anyOf",
            id="choice removed",
        ),
        pytest.param(
            put(f"{SCHEMA}/properties/id/maxLength", 100),
            "chain.started.id: maxLength",
            id="bound changed",
        ),
        pytest.param(
            put(f"{SCHEMA}/properties/id/format", "uuid"),
            "chain.started.id: format",
            id="format added",
        ),
        pytest.param(
            put(f"{DATA}/properties/kept/enum", ["limit"]),
            "chain.started.data.kept: the value 'open' is gone",
            id="value removed",
        ),
        pytest.param(
            gone(f"{DATA}/properties/kept/enum"),
            "chain.started.data.kept: its values were listed",
            id="values no longer listed",
        ),
        pytest.param(
            put(f"{SCHEMA}/properties/type/const", "chain.begun"),
            "chain.started.type: the value 'chain.started' is gone",
            id="constant changed",
        ),
    ],
)
def test_a_break_of_events_is_seen(change: Change, place: str) -> None:
    """Whatever a subscriber may rely on, and where it is."""
    found = broken_events(EVENTS, changed(EVENTS, change))
    assert any(one.startswith(place) for one in found), found


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: None, id="nothing"),
        pytest.param(
            put(
                "#/channels/events/messages/chain.new",
                {"$ref": "#/components/messages/chain.failed"},
            ),
            id="event type added",
        ),
        pytest.param(
            put("#/channels/more", {"address": "more", "messages": {}}),
            id="channel added",
        ),
        pytest.param(
            put(f"{DATA}/properties/note", {"type": "string"}), id="field added"
        ),
        pytest.param(
            put(f"{DATA}/properties/kept/enum", ["open", "limit", "paused"]),
            id="value added",
        ),
        pytest.param(
            put(f"{DATA}/properties/kept/description", "Why."), id="words changed"
        ),
    ],
)
def test_what_is_added_breaks_nothing(change: Change) -> None:
    """Subscribers pass over what they do not know."""
    assert broken_events(EVENTS, changed(EVENTS, change)) == []


OPERATION = "#/paths/~1chains~1{id}/post"
TAKES = f"{OPERATION}/requestBody/content"
ANSWER = f"{OPERATION}/responses/200/content/application~1json/schema"
TAKEN = f"{TAKES}/application~1json/schema"
NAME = "POST /chains/{id}"


@pytest.mark.parametrize(
    "change,place",
    [
        (gone("#/paths/~1chains~1{id}"), f"{NAME}: gone"),
        (renamed(OPERATION, "put"), f"{NAME}: gone"),
        (gone(f"{OPERATION}/responses/204"), f"{NAME}: does not answer 204"),
        (
            renamed(f"{OPERATION}/responses/200/content/application~1json", "text/plain"),
            f"{NAME} answers 200: application/json is gone",
        ),
        (gone(f"{ANSWER}/properties/id"), f"{NAME} answers 200.id: the field is gone"),
        (put(f"{ANSWER}/required", ["id"]), f"{NAME} answers 200.data: the field was"),
        (gone(f"{TAKEN}/properties/id"), f"{NAME} takes.id: the field is gone"),
        (
            put(f"{TAKEN}/required", ["id", "data", "type"]),
            f"{NAME} takes.type: the field is newly required",
        ),
        (
            renamed(f"{TAKES}/application~1json", "text/plain"),
            f"{NAME} takes: application/json is gone",
        ),
        (
            put(f"{OPERATION}/requestBody/required", True),
            f"{NAME}: a body is newly required",
        ),
        (
            put(f"{OPERATION}/parameters/1/required", True),
            f"{NAME}: query lang is newly required",
        ),
        (
            put(f"{OPERATION}/parameters/1/schema/type", "integer"),
            f"{NAME} query lang: type",
        ),
        (
            put(f"{OPERATION}/parameters/1/name", "language"),
            f"{NAME}: takes no query lang any more",
        ),
    ],
)
def test_a_break_of_operations_is_seen(change: Change, place: str) -> None:
    """What is answered stays, and nothing more is asked for."""
    found = broken_operations(OPERATIONS, changed(OPERATIONS, change))
    assert any(one.startswith(place) for one in found), found


@pytest.mark.parametrize(
    "change",
    [
        put("#/paths/~1more", {"get": {"responses": {}}}),
        put(f"{OPERATION}/responses/409", {"description": "No."}),
        put(f"{ANSWER}/required", ["id", "data", "type"]),
        put(f"{TAKEN}/required", ["id"]),
        put(f"{TAKEN}/properties/more", {"type": "string"}),
        put(f"{TAKES}/text~1plain", {"schema": {"type": "string"}}),
        put(
            f"{TAKEN}/properties/data/properties/which/anyOf",
            [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}],
        ),
        lambda document: items(at(document, f"{OPERATION}/parameters")).append(
            {"name": "page", "in": "query", "schema": {"type": "string"}}
        ),
    ],
)
def test_operations_may_give_more_and_ask_for_less(change: Change) -> None:
    """Who called before calls on."""
    assert broken_operations(OPERATIONS, changed(OPERATIONS, change)) == []


def test_a_choice_that_is_new_breaks_readers_only() -> None:
    """Who reads has to know what to expect; who writes need not use it."""
    before: JsonObject = {"anyOf": [{"type": "string"}]}
    after: JsonObject = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert list(breaks(before, after, Side.EVENT, "x")) == [
        "x: anyOf has 2 choices instead of 1"
    ]
    assert list(breaks(before, after, Side.REQUEST, "x")) == []
