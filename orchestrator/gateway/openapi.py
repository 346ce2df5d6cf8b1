"""The gateway as an OpenAPI document: its routes, and what is told of them.

The framework knows paths, parameters and words; bodies and answers are told beside it, as
the handlers work on bytes. The gateway serves the copy in `schemas/generated`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from orchestrator.gateway.openapi_told import TOLD, Body, Errors, Told, ref
from schemas import irma
from schemas.chain_page import ChainPage
from schemas.chains import ChainView
from schemas.contract.describing import written
from schemas.contract.trees import JsonObject, fields, items, text
from schemas.replays import ReplayAsked, ReplayList, ReplayView, SelectionView

#: Of the contract, as that of the events.
VERSION: Final = "1.0.0"

_SUMMARY: Final = """\
Where the paths are an IRMA server's, so are bodies, errors and meaning. New operations,
new fields and new values of listed words may be added at any time: pass over what you do
not know.
"""

_TAGS: Final[Mapping[str, str]] = {
    "requestor": "Sessions, as at an IRMA server: each one starts a chain.",
    "chains": "Chains, for the requestors whose they are.",
    "operator": "For operators: what has failed, and replaying it in bulk.",
    "endpoint": "For endpoints that answer later.",
    "user": "A chain's page, for its user.",
    "app": "What the app calls when it has scanned a printed QR.",
    "server": "The gateway itself.",
    "backend": "For the IRMA server behind the gateway, by URLs that it was given.",
}

#: What handlers read or write by themselves.
_READ: Final[tuple[type[BaseModel], ...]] = (
    irma.SessionRequest,
    irma.DisclosureRequest,
    irma.SignatureRequest,
    irma.IssuanceRequest,
    irma.RevocationRequest,
    irma.SessionPackage,
    irma.SessionPointer,
    irma.SessionResult,
    irma.IrmaError,
    ReplayAsked,
)
_WRITTEN: Final[tuple[type[BaseModel], ...]] = (
    ChainView,
    ChainPage,
    SelectionView,
    ReplayView,
    ReplayList,
)

_PROBLEM: Final[JsonObject] = {
    "type": "object",
    "description": "What went wrong, in words for people (RFC 9457).",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "Which one of the body is wrong."},
    },
}

_SECURITY: Final[JsonObject] = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The requestor's token, as it is or after `Bearer`.",
    },
    "jwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Signed by the requestor's key, with `sub` `chain_request`.",
    },
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of one of the configured `operators`.",
    },
}

#: What words for ourselves refer to: nobody else has these documents.
_OURS: Final = re.compile(r" \((?:reference|irma\.md|trap|DESIGN) [^()\"]*\)")

_DOCUMENT: Final[TypeAdapter[JsonObject]] = TypeAdapter(JsonObject)

_SUCCESSES: Final = range(200, 300)


def openapi_document(app: FastAPI) -> JsonObject:
    """The whole document."""
    found: JsonObject = get_openapi(
        title="Session chain orchestrator",
        version=VERSION,
        description=_SUMMARY,
        routes=app.routes,
        tags=[{"name": name, "description": said} for name, said in _TAGS.items()],
    )
    components = fields(found.get("components"))
    schemas = fields(components.get("schemas")) | _schemas()
    paths: JsonObject = {
        path: _path(path, fields(methods))
        for path, methods in fields(found["paths"]).items()
    }
    whole = found | {
        "paths": paths,
        "components": {
            "schemas": _reachable(paths, schemas),
            "securitySchemes": _SECURITY,
        },
    }
    return _DOCUMENT.validate_json(_OURS.sub("", json.dumps(whole)))


def untold(document: JsonObject) -> list[str]:
    """The operations whose good answer nothing is known of."""
    return [
        f"{method.upper()} {path}"
        for path, methods in fields(document["paths"]).items()
        for method, operation in fields(methods).items()
        if not any(_known(status, answer) for status, answer in _answers(operation))
    ]


def _answers(operation: object) -> list[tuple[int, JsonObject]]:
    responses = fields(operation["responses"]) if isinstance(operation, dict) else {}
    return [(int(s), fields(one)) for s, one in responses.items() if s.isdecimal()]


def _known(status: int, answer: JsonObject) -> bool:
    """Whether a success says more than what the framework says of all."""
    content = fields(answer.get("content"))
    schemas = [fields(one).get("schema") for one in content.values()]
    return status in _SUCCESSES and (not content or {} not in schemas)


def _path(path: str, methods: JsonObject) -> JsonObject:
    return {
        method: _operation(fields(operation), TOLD.get(f"{method.upper()} {path}"))
        for method, operation in methods.items()
    }


def _operation(found: JsonObject, told: Told | None) -> JsonObject:
    """What the framework found, with what is told instead of what it assumes."""
    summary, _, more = text(found.get("description")).partition("\n")
    operation = found | {"summary": summary.removesuffix(".")}
    operation["description"] = more.strip() or summary
    responses = fields(found["responses"])
    parameters = items(found.get("parameters"))
    if all(_is_text(one) for one in parameters) and "requestBody" not in found:
        responses.pop("422", None)  # no text is refused by the framework
    if told is not None:
        operation |= _told(told)
        parameters = parameters + [_header(n, said) for n, said in told.headers.items()]
    if parameters:
        operation["parameters"] = parameters
    return operation


def _is_text(parameter: object) -> bool:
    schema = fields(parameter["schema"]) if isinstance(parameter, dict) else {}
    choices = items(schema.get("anyOf")) or [schema]
    return all(fields(one).get("type") in {"string", "null"} for one in choices)


def _told(told: Told) -> JsonObject:
    answers: JsonObject = {str(s): _body(one) for s, one in told.answers.items()}
    if told.errors is not None:
        answers["default"] = _error(told.errors)
    found: JsonObject = {"responses": answers}
    if told.takes is not None:
        found["requestBody"] = _body(told.takes) | {"required": told.body_required}
    if told.security:
        found["security"] = [{} if way == "none" else {way: []} for way in told.security]
    return found


def _body(body: Body) -> JsonObject:
    found: JsonObject = {"description": body.description}
    if body.content:
        found["content"] = {k: {"schema": schema} for k, schema in body.content.items()}
    if body.headers:
        found["headers"] = {
            name: {"description": said, "schema": {"type": "string"}}
            for name, said in body.headers.items()
        }
    return found


def _error(errors: Errors) -> JsonObject:
    kind, schema, said = errors.value
    shape: JsonObject = {"type": "string"} if schema is None else ref(schema)
    return {"description": said, "content": {kind: {"schema": shape}}}


def _header(name: str, description: str) -> JsonObject:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }


def _schemas() -> JsonObject:
    """The schemas that are told of, by name."""
    _, read = models_json_schema(
        [(model, "validation") for model in _READ],
        ref_template="#/components/schemas/{model}",
    )
    found: JsonObject = fields(read["$defs"])
    # Its short form (reference irma.md §2.3) is taken by a validator.
    found["AttributeRequest"] = {"anyOf": [{"type": "string"}, found["AttributeRequest"]]}
    found |= {model.__name__: written(model) for model in _WRITTEN}
    status: JsonObject = TypeAdapter(irma.Status).json_schema()
    return found | {"Status": status, "Problem": _PROBLEM}


def _reachable(paths: JsonObject, schemas: JsonObject) -> JsonObject:
    """The schemas that the paths lead to."""
    known: JsonObject = {}
    wanted = _references(json.dumps(paths), schemas)
    while wanted:
        name = wanted.pop()
        known[name] = schemas[name]
        wanted |= _references(json.dumps(schemas[name]), schemas) - set(known)
    return dict(sorted(known.items()))


def _references(document: str, schemas: JsonObject) -> set[str]:
    return {n for n in schemas if f'"#/components/schemas/{n}"' in document}
