"""What has changed between two documents of the contract that breaks who relies on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from schemas.contract.comparing import Side, breaks
from schemas.contract.trees import JsonObject, fields, inlined, items, text


def broken_events(before: JsonObject, after: JsonObject) -> list[str]:
    """What breaks between two AsyncAPI documents.

    A channel keeps its address and its exchange or queue; a message stays in its
    channel, so its routing key stays as well; its payload keeps its fields.
    """
    were, are = _document(before, "channels"), _document(after, "channels")
    found: list[str] = []
    for name, channel in were.items():
        if name not in are:
            found.append(f"channel {name}: gone")
        else:
            found += _broken_channel(name, fields(channel), fields(are[name]))
    return found


def _document(document: JsonObject, part: str) -> JsonObject:
    return fields(inlined(document[part], document))


def _broken_channel(name: str, before: JsonObject, after: JsonObject) -> Iterator[str]:
    for what in ("address", "bindings"):
        if before.get(what) != after.get(what):
            was, now = before.get(what), after.get(what)
            yield f"channel {name}: {what} was {was!r} and is {now!r}"
    were, are = fields(before["messages"]), fields(after["messages"])
    for event_type, message in were.items():
        if event_type not in are:
            yield f"channel {name}: {event_type} is gone"
        else:
            was, now = fields(message), fields(are[event_type])
            if was["contentType"] != now["contentType"]:
                yield f"{event_type}: contentType is {now['contentType']!r}"
            payloads = fields(was["payload"]), fields(now["payload"])
            yield from breaks(*payloads, Side.EVENT, event_type)


def broken_operations(before: JsonObject, after: JsonObject) -> list[str]:
    """What breaks between two OpenAPI documents.

    An operation keeps its answers with their content types and fields, takes what it
    took, and asks for nothing more.
    """
    were, are = _operations(before), _operations(after)
    found: list[str] = []
    for name, operation in were.items():
        if name not in are:
            found.append(f"{name}: gone")
        else:
            found += _broken_operation(name, operation, are[name])
    return found


_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})


def _operations(document: JsonObject) -> Mapping[str, JsonObject]:
    return {
        f"{method.upper()} {path}": fields(operation)
        for path, methods in _document(document, "paths").items()
        for method, operation in fields(methods).items()
        if method in _METHODS
    }


def _broken_operation(name: str, before: JsonObject, after: JsonObject) -> Iterator[str]:
    yield from _broken_parameters(name, before, after)
    took, takes = fields(before.get("requestBody")), fields(after.get("requestBody"))
    if takes.get("required") and not took.get("required"):
        yield f"{name}: a body is newly required"
    yield from _broken_content(f"{name} takes", took, takes, Side.REQUEST)
    were, are = fields(before["responses"]), fields(after["responses"])
    for status, answer in were.items():
        if status not in are:
            yield f"{name}: does not answer {status} any more"
        else:
            place = f"{name} answers {status}"
            now = fields(are[status])
            yield from _broken_content(place, fields(answer), now, Side.ANSWER)


def _broken_parameters(name: str, before: JsonObject, after: JsonObject) -> Iterator[str]:
    were, are = _parameters(before), _parameters(after)
    for place, parameter in were.items():
        if place not in are:
            yield f"{name}: takes no {place} any more"
            continue
        yield from breaks(
            fields(parameter["schema"]),
            fields(are[place]["schema"]),
            Side.REQUEST,
            f"{name} {place}",
        )
    for place, parameter in are.items():
        required = bool(parameter.get("required"))
        if required and not were.get(place, {}).get("required"):
            yield f"{name}: {place} is newly required"


def _parameters(operation: JsonObject) -> Mapping[str, JsonObject]:
    found = map(fields, items(operation.get("parameters")))
    return {f"{text(one['in'])} {text(one['name'])}": one for one in found}


def _broken_content(
    place: str, before: JsonObject, after: JsonObject, side: Side
) -> Iterator[str]:
    were, are = fields(before.get("content")), fields(after.get("content"))
    for kind, content in were.items():
        if kind not in are:
            yield f"{place}: {kind} is gone"
            continue
        was, now = fields(content).get("schema"), fields(are[kind]).get("schema")
        yield from breaks(fields(was), fields(now), side, place)
