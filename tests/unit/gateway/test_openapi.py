"""The OpenAPI document tells of every operation what it takes and answers."""

from __future__ import annotations

import json
import re
from typing import cast

import pytest
from fastapi import FastAPI, Response
from fastapi.openapi.models import OpenAPI

from orchestrator.gateway import create_app
from orchestrator.gateway.desk import Desk
from orchestrator.gateway.openapi import openapi_document, untold
from orchestrator.gateway.openapi_told import TOLD
from schemas.chains import ChainView
from schemas.contract.trees import JsonObject, fields, inlined, items, text


@pytest.fixture(scope="module")
def document() -> JsonObject:
    """The gateway's own document; a route looks at its desk only when it is asked."""
    return openapi_document(create_app(cast("Desk", object())))


def operations(document: JsonObject) -> dict[str, JsonObject]:
    """By method and path."""
    return {
        f"{method.upper()} {path}": fields(operation)
        for path, methods in fields(document["paths"]).items()
        for method, operation in fields(methods).items()
    }


def test_it_is_an_openapi_document(document: JsonObject) -> None:
    """The framework's model of such documents takes it, and every reference holds."""
    OpenAPI.model_validate(document)
    assert text(document["openapi"]).startswith("3.1")
    assert "$ref" not in json.dumps(inlined(document, document))


def test_no_operation_goes_untold(document: JsonObject) -> None:
    """Of each one it is known what a good answer is; what is told is of operations."""
    assert untold(document) == []
    assert set(TOLD) <= set(operations(document))


def test_an_operation_of_which_nothing_is_told_is_found() -> None:
    """What the framework assumes of all operations is no knowledge; a model is."""
    app = FastAPI()

    @app.get("/untold")
    async def _untold() -> Response:
        """Nothing is known of it."""
        return Response()

    @app.get("/told", responses={200: {"model": ChainView}})
    async def _told() -> Response:
        """It has a model."""
        return Response()

    assert untold(openapi_document(app)) == ["GET /untold"]


def test_starting_a_session_is_told_whole(document: JsonObject) -> None:
    """What is taken, the headers that count, what is answered, and the errors."""
    start = operations(document)["POST /session"]
    names = {text(fields(one)["name"]) for one in items(start["parameters"])}
    assert names == {"Idempotency-Key"}
    assert set(fields(fields(start["requestBody"])["content"])) == {
        "application/json",
        "text/plain",
    }
    answers = fields(start["responses"])
    assert set(answers) == {"200", "default"}
    assert set(fields(fields(answers["200"])["headers"])) == {"Chain-Id", "Chain-Page"}
    assert {} in items(start["security"])


def test_texts_are_never_refused_by_the_framework(document: JsonObject) -> None:
    """So nobody is told of an answer that is not given."""
    for name, operation in operations(document).items():
        kinds = {
            text(fields(fields(one)["schema"]).get("type"))
            for one in map(fields, items(operation.get("parameters")))
            if "anyOf" not in fields(one["schema"])
        }
        if kinds <= {"string"}:
            assert "422" not in fields(operation["responses"]), name


def test_a_short_attribute_is_one_too(document: JsonObject) -> None:
    """An attribute request may be a bare id (reference irma.md §2.3)."""
    schemas = fields(fields(document["components"])["schemas"])
    choices = items(fields(schemas["AttributeRequest"])["anyOf"])
    assert {"type": "string"} in choices


def test_no_schema_is_there_for_nothing(document: JsonObject) -> None:
    """Every one is led to by an operation, or by another one."""
    told = json.dumps(document)
    for name in fields(fields(document["components"])["schemas"]):
        assert f'"#/components/schemas/{name}"' in told


def test_words_refer_to_nothing_of_our_own(document: JsonObject) -> None:
    """Our references and rules are not for others' eyes."""
    assert not re.search(r"irma\.md|trap T|DESIGN", json.dumps(document))
