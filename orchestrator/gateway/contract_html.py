"""The contract's documents as pages for reading: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from schemas.contract.trees import JsonObject, fields, inlined, items, text, texts

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8885; --quiet: #8882 }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; margin: 2em 0 .5em }
h1 { margin-top: 0 }
nav ul { columns: 14rem; padding-left: 1.2rem }
code, pre { font: .9em/1.5 ui-monospace, monospace }
pre { background: var(--quiet); padding: .75rem 1rem; overflow-x: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .75rem .3rem 0;
  text-align: left; vertical-align: top }
"""

_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()

#: What the pages may load: their own style, told by its hash, and nothing else.
POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    f" img-src data:; style-src 'sha256-{_STYLE_HASH}'"
)

_FIELDS: Final = ("Field", "Type", "Always", "What")


def events_page(document: JsonObject) -> str:
    """The AsyncAPI document as a page."""
    html, body = _page(document, "asyncapi.json")
    channels = fields(document["channels"])
    SubElement(body, "h2").text = "Where they are"
    rows = [_channel(fields(channel)) for channel in channels.values()]
    _table(body, ("Address", "Of", "What"), rows)
    whole = fields(inlined(document["components"], document))
    messages = {name: fields(one) for name, one in fields(whole["messages"]).items()}
    envelope = fields(next(iter(messages.values()))["payload"])
    _contents(body, "Events", messages)
    SubElement(body, "h2").text = "What all of them have"
    shared = {k: v for k, v in fields(envelope["properties"]).items() if k != "data"}
    _fields(body, envelope | {"properties": shared})
    for name, message in messages.items():
        _event(body, name, message, channels)
        _data(body, message, envelope)
    return _text_of(html)


def operations_page(document: JsonObject) -> str:
    """The OpenAPI document as a page."""
    html, body = _page(document, "openapi.json")
    operations = {
        f"{method.upper()} {path}": fields(operation)
        for path, methods in fields(document["paths"]).items()
        for method, operation in fields(methods).items()
    }
    _contents(body, "Operations", operations)
    for tag in map(fields, items(document.get("tags"))):
        SubElement(body, "h2").text = text(tag["description"])
        for name, operation in operations.items():
            if tag["name"] in items(operation.get("tags")):
                _operation(body, name, operation)
    schemas = fields(fields(document["components"])["schemas"])
    _contents(body, "Schemas", schemas)
    for name, schema in schemas.items():
        _heading(body, name)
        _schema(body, fields(schema))
    return _text_of(html)


def _page(document: JsonObject, source: str) -> tuple[Element, Element]:
    info = fields(document["info"])
    html = Element("html", lang="en")
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    viewport = "width=device-width, initial-scale=1"
    SubElement(head, "meta", name="viewport", content=viewport)
    SubElement(head, "title").text = text(info["title"])
    SubElement(head, "link", rel="icon", href="data:,")
    SubElement(head, "style").text = _STYLE
    body = SubElement(html, "body")
    SubElement(body, "h1").text = text(info["title"])
    for paragraph in text(info["description"]).split("\n\n"):
        _words(SubElement(body, "p"), paragraph)
    version = SubElement(body, "p")
    version.text = f"Version {text(info['version'])}; for programs: "
    SubElement(version, "a", href=source).text = source
    return html, body


def _contents(body: Element, title: str, names: Iterable[str]) -> None:
    SubElement(body, "h2").text = title
    entries = SubElement(SubElement(body, "nav"), "ul")
    for name in names:
        link = SubElement(SubElement(entries, "li"), "a", href=f"#{_anchor(name)}")
        link.text = name


def _heading(body: Element, name: str) -> None:
    SubElement(SubElement(body, "h3", id=_anchor(name)), "code").text = name


def _anchor(name: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in name)


def _channel(channel: JsonObject) -> tuple[str, str, str]:
    binding = fields(fields(channel["bindings"])["amqp"])
    exchange = fields(binding.get("exchange")).get("name")
    kind = f"exchange `{text(exchange)}`" if exchange else "stream"
    said = f"{text(channel['title'])}. {text(channel['description'])}"
    return f"`{text(channel['address'])}`", kind, said


def _event(body: Element, name: str, message: JsonObject, channels: JsonObject) -> None:
    _heading(body, name)
    _words(SubElement(body, "p"), text(message["summary"]))
    keys = [
        text(channel["address"]).replace("{type}", name)
        for channel in map(fields, channels.values())
        if name in fields(channel["messages"]) and "{type}" in text(channel["address"])
    ]
    _words(SubElement(body, "p"), f"Routing key: `{keys[0]}`")


def _data(body: Element, message: JsonObject, envelope: JsonObject) -> None:
    """What is particular to a type of event: its data, what it lacks, its example."""
    properties = fields(fields(message["payload"])["properties"])
    lacks = [name for name in fields(envelope["properties"]) if name not in properties]
    if lacks:
        names = ", ".join(f"`{name}`" for name in lacks)
        _words(SubElement(body, "p"), f"Without {names}.")
    data = fields(properties["data"])
    _words(SubElement(body, "p"), text(data["description"]))
    _table(body, _FIELDS, _rows(data, "data."))
    example = fields(items(message["examples"])[0])["payload"]
    SubElement(body, "pre").text = json.dumps(example, indent=2, ensure_ascii=False)


def _operation(body: Element, name: str, operation: JsonObject) -> None:
    _heading(body, name)
    _words(SubElement(body, "p"), text(operation["description"]))
    parameters = [
        (f"`{text(one['name'])}`", text(one["in"]), text(one.get("description")))
        for one in map(fields, items(operation.get("parameters")))
    ]
    if parameters:
        _table(body, ("Parameter", "In", "What"), parameters)
    rows = [
        (f"`{status}`", _content(fields(answer)), text(fields(answer)["description"]))
        for status, answer in fields(operation["responses"]).items()
    ]
    takes = fields(operation.get("requestBody"))
    if takes:
        rows.insert(0, ("takes", _content(takes), text(takes.get("description"))))
    _table(body, ("Answer", "Body", "What"), rows)


def _content(body: JsonObject) -> str:
    kinds = fields(body.get("content"))
    return "; ".join(
        f"`{kind}` {_type(fields(fields(content)['schema']))}"
        for kind, content in kinds.items()
    )


def _schema(body: Element, schema: JsonObject) -> None:
    if description := text(schema.get("description")):
        _words(SubElement(body, "p"), description.partition("\n\n")[0])
    if "properties" in schema:
        _fields(body, schema)
    else:
        _words(SubElement(body, "p"), _type(schema))


def _fields(body: Element, schema: JsonObject) -> None:
    _table(body, _FIELDS, _rows(schema))


def _rows(schema: JsonObject, prefix: str = "") -> Iterable[tuple[str, ...]]:
    always = texts(schema.get("required"))
    for name, one in fields(schema["properties"]).items():
        field = fields(one)
        said = text(field.get("description"))
        there = "yes" if name in always else ""
        yield f"`{prefix}{name}`", _type(field), there, said
        inner = fields(field.get("items")) if "items" in field else field
        if "properties" in inner:
            yield from _rows(inner, f"{prefix}{name}.")


def _type(schema: JsonObject) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return text(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return f"`{text(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{text(value)}`" for value in items(schema["enum"]))
    if choices := items(schema.get("anyOf")):
        return " or ".join(_type(fields(choice)) for choice in choices)
    if schema.get("type") == "array":
        return f"list of {_type(fields(schema.get('items')))}"
    return text(schema.get("format")) or text(schema.get("type")) or "any"


def _table(
    body: Element, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> None:
    table = SubElement(SubElement(body, "div", {"class": "wide"}), "table")
    header = SubElement(SubElement(table, "thead"), "tr")
    for head in heads:
        SubElement(header, "th", scope="col").text = head
    cells = SubElement(table, "tbody")
    for row in rows:
        line = SubElement(cells, "tr")
        for cell in row:
            _words(SubElement(line, "td"), cell)


def _words(parent: Element, said: str) -> None:
    """Text in which back quotes mark what is code."""
    parts = said.replace("``", "`").split("`")
    parent.text = parts[0]
    for code, after in zip(parts[1::2], parts[2::2], strict=False):
        element = SubElement(parent, "code")
        element.text, element.tail = code, after


def _text_of(html: Element) -> str:
    return "<!doctype html>\n" + tostring(html, encoding="unicode", method="html")
