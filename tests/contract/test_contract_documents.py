"""Tools of others read the contract: AsyncAPI's parser, Ajv, and the CloudEvents SDK."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import cast

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq_event

from orchestrator.cli.contract import GENERATED
from schemas.contract import EVENT_TYPES
from schemas.contract.trees import JsonObject, fields, items, texts
from schemas.events import CLOUDEVENTS_JSON, parse_event

READ = Path(__file__).with_name("asyncapi") / "read.mjs"
BOUND_S = 60

#: What AsyncAPI's parser calls an error or a warning; 2 and 3 are advice.
TROUBLE = {0, 1}


async def read(folder: Path) -> JsonObject:
    """What Node finds in a folder of generated files."""
    process = await asyncio.create_subprocess_exec(
        "node", str(READ), str(folder), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(BOUND_S):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return cast("JsonObject", json.loads(said))


def trouble(found: JsonObject) -> list[JsonObject]:
    """What AsyncAPI's parser does not like."""
    remarks = map(fields, items(found["diagnostics"]))
    return [remark for remark in remarks if remark["severity"] in TROUBLE]


@pytest.fixture(scope="module")
async def found() -> JsonObject:
    """What Node finds in what is checked in."""
    return await read(GENERATED)


def test_asyncapis_parser_takes_the_document(found: JsonObject) -> None:
    """Without an error or a warning: bindings, references, examples."""
    assert trouble(found) == []
    assert found["version"] == "3.0.0"
    assert set(texts(found["types"])) == set(EVENT_TYPES)
    assert set(texts(found["actions"])) == {"receive"}


def test_every_example_is_valid_by_its_json_schema(found: JsonObject) -> None:
    """By a validator of draft 2020-12 that admits no unknown keyword or format."""
    assert found["refused"] == {}


def test_of_the_envelope_only_these_may_be_left_out(found: JsonObject) -> None:
    """Without any other attribute the schemas refuse an event."""
    admitted = {name.rpartition(".")[2] for name in texts(found["admitted"])}
    assert admitted == {"causationid", "traceparent"}


async def test_what_is_wrong_is_seen(tmp_path: Path) -> None:
    """An example that is no such event, and a document with a reference to nothing."""
    folder = tmp_path / "generated"
    shutil.copytree(GENERATED, folder)
    example = folder / "examples" / "chain.failed.json"
    wrong = json.loads(example.read_text())
    wrong["data"]["steps"] = "many"
    example.write_text(json.dumps(wrong))
    document = json.loads((folder / "asyncapi.json").read_text())
    document["operations"]["readLog"]["channel"]["$ref"] = "#/channels/nowhere"
    (folder / "asyncapi.json").write_text(json.dumps(document))
    found = await read(folder)
    assert trouble(found)
    assert fields(found["refused"]) == {"chain.failed": "data/data/steps must be integer"}


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_cloudevents_sdk_reads_every_example(event_type: str) -> None:
    """From the broker and over HTTP, with every attribute as we wrote it."""
    body = (GENERATED / "examples" / f"{event_type}.json").read_bytes()
    headers = {"content-type": CLOUDEVENTS_JSON}
    by_http = from_structured_event(HTTPMessage(headers=headers, body=body))
    by_broker = from_rabbitmq_event(
        RabbitMQMessage(headers={}, content_type=CLOUDEVENTS_JSON, body=body)
    )
    wire = json.loads(body)
    for event in by_http, by_broker:
        assert event.get_data() == wire["data"]
        given = {k: v for k, v in wire.items() if k not in {"data", "time"}}
        assert given.items() <= event.get_attributes().items()
        assert event.get_time() == parse_event(body).time
