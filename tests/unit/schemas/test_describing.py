"""JSON Schemas of events: what is on the wire, open to what is added later."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from schemas.contract import EVENT_TYPES, event_schema, example
from schemas.contract.describing import MEANINGS, written
from schemas.contract.trees import JsonObject, fields, texts
from schemas.events import EndpointChanged, dump_event


def objects(schema: JsonObject) -> Iterator[JsonObject]:
    """The schema and those of the objects within it."""
    yield schema
    for one in fields(schema["properties"]).values():
        if "properties" in fields(one):
            yield from objects(fields(one))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_an_example_is_an_event_of_its_type(event_type: str) -> None:
    """It is read and written as any event, numbered as one that was published."""
    event = example(event_type)
    assert event.type == event_type
    assert event.sequence is not None
    kind = event_type.replace(".", "_")
    assert kind in event.id


def test_examples_have_ids_of_their_own() -> None:
    """They may be published side by side."""
    assert len({example(name).id for name in EVENT_TYPES}) == len(EVENT_TYPES)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_what_is_required_is_on_the_wire(event_type: str) -> None:
    """Every required field of the schema is in the JSON, and the JSON has no others."""
    wire = json.loads(dump_event(example(event_type)))
    envelope, data = objects(event_schema(event_type))
    for schema, told in (envelope, wire), (data, wire["data"]):
        assert set(texts(schema["required"])) <= set(told)
        assert set(told) <= set(fields(schema["properties"]))


def test_what_is_absent_without_a_reason_is_not_required() -> None:
    """Only that: readers may rely on all the rest, and on the number of each event."""
    envelope, data = objects(event_schema("chain.completed"))
    optional = set(fields(envelope["properties"])) - set(texts(envelope["required"]))
    assert optional == {"causationid", "traceparent"}
    assert texts(data["required"]) == ["steps", "durationS"]
    assert fields(fields(data["properties"])["reason"])["type"] == "string"


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_schemas_are_open_and_of_one_type(event_type: str) -> None:
    """What is added later is valid by an older schema; another type is not."""
    schema = event_schema(event_type)
    assert fields(fields(schema["properties"])["type"])["const"] == event_type
    assert "additionalProperties" not in json.dumps(schema)
    assert "$ref" not in json.dumps(schema)
    assert '"null"' not in json.dumps(schema)


def test_every_field_has_a_meaning() -> None:
    """In words, and no words are left of a field that is gone."""
    told = {
        name
        for event_type in EVENT_TYPES
        for schema in objects(event_schema(event_type))
        for name, one in fields(schema["properties"]).items()
        if fields(one)["description"] and "properties" not in fields(one)
    }
    assert told == set(MEANINGS)


def test_only_endpoints_events_are_of_no_chain() -> None:
    """The events of a chain name it, its step and its requestor."""
    for event_type, model in EVENT_TYPES.items():
        required = texts(event_schema(event_type)["required"])
        of_a_chain = {"chainid", "step", "generation", "requestor"} <= set(required)
        assert of_a_chain == (model is not EndpointChanged)


class _Part(BaseModel):
    """A part."""

    size: int = 3


class _Whole(BaseModel):
    """A whole.

    Attributes:
        full_name: how it is called,
            in full.
        parts: of it.
    """

    fullName: str | None = None  # noqa: N815 # as it is on the wire
    parts: list[_Part] = []
    words: dict[str, int] | None = None


def test_a_docstrings_attributes_become_descriptions() -> None:
    """What a model says of its fields is said where they are described."""
    schema = written(_Whole)
    properties = fields(schema["properties"])
    assert schema["description"] == "A whole."
    assert fields(properties["fullName"])["description"] == "How it is called, in full."
    assert schema["required"] == ["parts"]
    assert fields(fields(properties["parts"])["items"])["required"] == ["size"]
    assert fields(properties["words"])["additionalProperties"] == {"type": "integer"}
