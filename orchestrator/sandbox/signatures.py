"""Signed messages in the shape of real ones; no number in them proves anything (§5)."""

import base64
import hashlib

from pydantic import JsonValue

from orchestrator.sandbox.disclosure import DisclosedLists
from schemas.irma import JsonObject

#: The first attribute of a credential comes after the wallet's secret and the metadata.
_FIRST_ATTRIBUTE = 2

_NONCE_BYTES = 16


def nonce_of(client_token: str) -> str:
    """The nonce of a session: a random number, as its token is."""
    return _number(_NONCE_BYTES, "nonce", client_token)


def signed_message(
    message: str, nonce: str, disclosed: DisclosedLists, now: int
) -> JsonObject:
    """The message with what stands for a signature by the disclosed attributes."""
    credentials = _credentials(disclosed)
    return {
        "@context": "https://irma.app/ld/signature/v2",
        "signature": [
            _proof(names, nonce, credential) for credential, names in credentials.items()
        ],
        "indices": _indices(disclosed, credentials),
        "nonce": nonce,
        "context": "AQ==",
        "message": message,
        "timestamp": {
            "Time": now,
            "ServerUrl": "https://timestamps.example",
            "Sig": {
                "Alg": "ed25519",
                "Data": _number(64, "timestamp", nonce, str(now)),
                "PublicKey": _number(32, "timestamp key"),
            },
        },
    }


def _credentials(disclosed: DisclosedLists) -> dict[str, list[str]]:
    """The disclosed attributes' ids by their credential type, in order of appearance."""
    found: dict[str, list[str]] = {}
    for identifier in (_id(one) for lists in disclosed for one in lists or []):
        names = found.setdefault(_credential(identifier), [])
        if identifier not in names:
            names.append(identifier)
    return found


def _proof(names: list[str], nonce: str, credential: str) -> JsonObject:
    def number(length: int, label: str) -> str:
        return _number(length, label, nonce, credential)

    revealed: JsonObject = {
        str(place): number(len(name), name)
        for place, name in enumerate(names, start=_FIRST_ATTRIBUTE)
    }
    return {
        "c": number(32, "c"),
        "A": number(128, "A"),
        "e_response": number(57, "e"),
        "v_response": number(213, "v"),
        "a_responses": {"0": number(74, "secret")},
        "a_disclosed": {"1": number(32, "metadata"), **revealed},
    }


def _indices(
    disclosed: DisclosedLists, credentials: dict[str, list[str]]
) -> list[JsonValue]:
    """For each disjunction where in the proofs its attributes are."""
    order = list(credentials)
    return [
        [
            {
                "cred": order.index(_credential(_id(one))),
                "attr": _FIRST_ATTRIBUTE
                + credentials[_credential(_id(one))].index(_id(one)),
            }
            for one in lists or []
        ]
        for lists in disclosed
    ]


def _id(attribute: JsonObject) -> str:
    return str(attribute["id"])


def _credential(identifier: str) -> str:
    return ".".join(identifier.split(".")[:3])


def _number(length: int, *of: str) -> str:
    """A number that differs with what it is of, in base64."""
    digest = hashlib.shake_256("\0".join(of).encode()).digest(length)
    return base64.b64encode(digest).decode()
