"""How Go's decoder reads a session request, modelled as plainly as can be.

Written from reference irma.md §2 and without the parser that is compared with it: names
in any case, the last of several wins, null is absent, keys of maps are taken as they are.
It expects values of the right types.
"""

import json
import string
from dataclasses import dataclass
from typing import TypeAlias

Reading: TypeAlias = dict[str, object]

#: ASCII letters in capitals; long s and Kelvin sign are the others Go takes for letters.
_CAPITALS = str.maketrans(
    string.ascii_lowercase + "\u017f\u212a", string.ascii_uppercase + "SK"
)
_CONTEXTS = {
    "disclosing": "https://irma.app/ld/request/disclosure/v2",
    "signing": "https://irma.app/ld/request/signature/v2",
    "issuing": "https://irma.app/ld/request/issuance/v2",
}


@dataclass(frozen=True)
class Object:
    """A JSON object as it was written, repeated names and all."""

    pairs: list[tuple[str, object]]

    def field(self, name: str) -> object:
        """The field of a Go struct, None if it is absent."""
        found = None
        for i, (key, value) in enumerate(self.pairs):
            again = any(key == later for later, _ in self.pairs[i + 1 :])
            same = key.translate(_CAPITALS) == name.translate(_CAPITALS)
            if same and not again and value is not None:
                found = value
        return found

    def text(self, name: str) -> str:
        """A field that is a Go string."""
        value = self.field(name)
        assert value is None or isinstance(value, str)
        return value or ""

    def objects(self, name: str) -> list["Object"]:
        """A field that is a list of Go structs."""
        return [_object(item) for item in _list(self.field(name))]


def reading(body: str) -> Reading:
    """What an IRMA server reads from a session request: the same for the same request."""
    top = _object(json.loads(body, object_pairs_hook=Object))
    inner = top.field("request")
    if top.text("@context") or not isinstance(inner, Object):
        return {"validity": 120, "timeout": 0, "callbackUrl": "", "url": None} | {
            "request": _plain(top)
        }
    chained = top.field("nextSession")
    return {
        "validity": top.field("validity") or 120,
        "timeout": top.field("timeout") or 0,
        "callbackUrl": top.text("callbackUrl"),
        "url": chained.text("url") if isinstance(chained, Object) else None,
        "request": _plain(inner),
    }


def _plain(request: Object) -> Reading:
    asked = _modern(request) if request.text("@context") else _legacy(request)
    revocation = request.field("revocation")
    return asked | {
        "message": request.text("message"),
        "credentials": [_credential(one) for one in request.objects("credentials")],
        "revocation": {
            id_: _object(given).field("tolerance") or 0 if given is not None else None
            for id_, given in _map(revocation).items()
        }
        if isinstance(revocation, Object)
        else dict.fromkeys(map(str, _list(revocation)), 0),
        "clientReturnUrl": request.text("clientReturnUrl"),
        "augmentReturnUrl": bool(request.field("augmentReturnUrl")),
        "host": request.text("host"),
    }


def _modern(request: Object) -> Reading:
    return {
        "@context": request.text("@context"),
        "disclose": [
            [[_attribute(one) for one in _list(con)] for con in _list(discon)]
            for discon in _list(request.field("disclose"))
        ],
        "labels": {
            int(index): None if texts is None else _texts(texts)
            for index, texts in _map(request.field("labels")).items()
        },
        "skipExpiryCheck": _list(request.field("skipExpiryCheck")),
    }


def _legacy(request: Object) -> Reading:
    kind = request.text("type")
    asked = request.objects("disclose" if kind == "issuing" else "content")
    return {
        "@context": _CONTEXTS[kind],
        "disclose": [_alternatives(one.field("attributes")) for one in asked],
        "labels": {
            i: {"en": one.text("label"), "nl": one.text("label")}
            for i, one in enumerate(asked)
        },
        "skipExpiryCheck": [],
    }


def _alternatives(attributes: object) -> list[object]:
    if isinstance(attributes, Object):
        return [[(id_, value, False)] for id_, value in _map(attributes).items()]
    return [[(id_, None, False)] for id_ in _list(attributes)]


def _attribute(attribute: object) -> object:
    if isinstance(attribute, Object):
        not_null = bool(attribute.field("notNull"))
        return attribute.text("type"), attribute.field("value"), not_null
    return attribute, None, False


def _credential(credential: Object) -> Reading:
    return {
        "credential": credential.text("credential"),
        "attributes": _texts(credential.field("attributes")),
        "validity": credential.field("validity"),
    }


def _texts(value: object) -> dict[str, object]:
    return {key: text or "" for key, text in _map(value).items()}


def _map(value: object) -> dict[str, object]:
    return {} if value is None else dict(_object(value).pairs)


def _list(value: object) -> list[object]:
    assert value is None or isinstance(value, list)
    return value or []


def _object(value: object) -> Object:
    assert isinstance(value, Object)
    return value
