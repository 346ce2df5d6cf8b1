"""The JSON Schema of each type of event, as its readers may rely on it.

It says what is on the wire: absent attributes are left out, never null; `sequence` is
always there, as only the history publishes. It is open where the model is closed: what
is added later does not make an event invalid for who has an older schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, get_args

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from schemas.contract.trees import JsonObject, fields, inlined, items, listed, text
from schemas.events import Event

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

#: The model of every type of event.
EVENT_TYPES: Final[Mapping[str, type[Event]]] = {
    event_type: model
    for model in get_args(Event)
    for event_type in get_args(model.model_fields["type"].annotation)
}

#: What the history adds before an event is published.
_PUBLISHED: Final = frozenset({"sequence"})

#: What each field says, by its name on the wire.
MEANINGS: Final[Mapping[str, str]] = {
    # The envelope
    "specversion": "The version of CloudEvents.",
    "id": "Follows from what happened: the same event always has the same id.",
    "source": "Who tells it; source and id together name an event.",
    "subject": "What it is about: the chain's id, or the endpoint's origin.",
    "time": "When it happened.",
    "datacontenttype": "The media type of `data`.",
    "type": "What happened.",
    "causationid": "The id of the event that had to come first.",
    "traceparent": "The trace it belongs to (W3C Trace Context).",
    "sequence": "Its number within its subject, from 1 and without a gap.",
    "chainid": "The chain's id, a ULID.",
    "step": "The place of the session in its chain, from 1.",
    "generation": "How often the chain was replayed before.",
    "requestor": "The key of the requestor whose chain it is.",
    # The data
    "again": "What the generation begins with.",
    "answer": (
        "What the endpoint's answer means: a next session, the chain's end, that it"
        " answers later, or, to a `callbackUrl`, nothing."
    ),
    "attempt": "The number of the HTTP attempt, from 1.",
    "attempts": "Attempts in the window in which the endpoint's breaker opened last.",
    "attributes": "The attributes that are asked for or issued, by name, at most 100.",
    "backend": "The session system.",
    "chained": "Whether it has a `nextSession`.",
    "clock": "Which of the two retry clocks goes: while the app waits, or later on.",
    "delayMs": "How long until the next attempt, in milliseconds.",
    "disclosed": "The attributes that were disclosed, by name, at most 100.",
    "durationMs": "How long the endpoint took, in milliseconds.",
    "durationS": "From the start of the chain to its end, in seconds.",
    "ended": "How the generation before had ended.",
    "endpoint": "The endpoint's origin: scheme, host and port.",
    "failures": "How many of those attempts failed.",
    "fault": "What went wrong where there was no answer.",
    "inFlow": "Whether the user's app goes on to it by itself.",
    "kept": "Why it is kept back: too many at a time, the breaker, or an operator.",
    "nextAt": "When the next attempt is made.",
    "note": "What the operator wrote.",
    "paused": "Whether an operator has paused the endpoint.",
    "probeAt": "When the endpoint is tried again.",
    "proofStatus": "The status of the proofs, as the session's result has it.",
    "purpose": "Why the result is POSTed: for the next session, or to a `callbackUrl`.",
    "reason": "Why, in words for people.",
    "sessionType": "`disclosing`, `signing` or `issuing`.",
    "state": "The state of the endpoint's breaker.",
    "status": "The HTTP status, or of a session its final status.",
    "steps": "How many sessions the chain had.",
    "trips": "How often the breaker opened since the endpoint was last well.",
}


def event_schema(event_type: str) -> JsonObject:
    """The JSON Schema of one type of event, without references."""
    schema = _described(written(EVENT_TYPES[event_type]), MEANINGS)
    properties = fields(schema["properties"])
    properties["type"] = fields(properties["type"]) | {"const": event_type}
    fields(properties["type"]).pop("enum", None)
    required = items(schema["required"])
    required += [name for name in _PUBLISHED if name not in required]
    return schema | {"title": event_type}


def written(model: type[BaseModel]) -> JsonObject:
    """The JSON Schema of what we write of a model, without references."""
    raw: JsonObject = model.model_json_schema(mode="validation")
    return fields(_as_written(fields(inlined(raw, raw))))


def _as_written(schema: JsonObject) -> JsonObject:
    """Open, without null, and with what is always there as required."""
    shape = {k: v for k, v in _present(schema).items() if k not in _OF_MODELS}
    if shape.get("additionalProperties") is False:
        del shape["additionalProperties"]
    if "items" in shape:
        shape["items"] = _as_written(fields(shape["items"]))
    if "properties" not in shape:
        return shape
    properties = fields(shape["properties"])
    description, meanings = _attributes(text(shape.get("description")))
    always = [name for name, one in properties.items() if not _optional(fields(one))]
    parts = {name: _as_written(fields(one)) for name, one in properties.items()}
    for name, meaning in meanings.items():
        parts[name]["description"] = meaning
    return {
        "description": description,
        "type": "object",
        "required": listed(always),
        "properties": {**parts},
    }


#: What pydantic says of its models, and no reader needs.
_OF_MODELS: Final = frozenset({"title", "default"})


def _optional(field: JsonObject) -> bool:
    """Whether the field is left out where there is nothing to say."""
    return "default" in field and field["default"] is None


def _present(field: JsonObject) -> JsonObject:
    """A field that may be null in the model is absent then on the wire."""
    choices = [one for one in items(field.get("anyOf")) if one != {"type": "null"}]
    if len(choices) != 1:
        return field
    return {k: v for k, v in field.items() if k != "anyOf"} | fields(choices[0])


def _attributes(docstring: str) -> tuple[str, Mapping[str, str]]:
    """A docstring without its section on attributes, and what that says of each."""
    said, _, section = docstring.partition("\n\nAttributes:\n")
    entries = re.split(r"\n(?=    \w+: )", section) if section else []
    pairs = (" ".join(entry.split()).split(": ", 1) for entry in entries)
    return said, {to_camel(name): what[:1].upper() + what[1:] for name, what in pairs}


def _described(schema: JsonObject, meanings: Mapping[str, str]) -> JsonObject:
    """The same with the meaning of every field that is no object."""
    properties = fields(schema["properties"])
    for name, one in properties.items():
        field = fields(one)
        if "properties" in field:
            _described(field, meanings)
        else:
            field["description"] = meanings[name]
    return schema
