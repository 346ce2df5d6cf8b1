"""What the operations take and answer, where their handlers read and write bytes.

An IRMA server's API was not made by a framework, so neither are its documents read and
written by one: what a handler takes and answers is told here, and a test holds that no
operation goes untold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from orchestrator.gateway.jwks import JWKS_TYPE
from orchestrator.gateway.problems import PROBLEM_TYPE
from schemas.contract.trees import JsonObject

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_HTML: Final = "text/html"
_EVENTS: Final = "text/event-stream"

_STRING: Final[JsonObject] = {"type": "string"}


def ref(name: str) -> JsonObject:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


class Errors(Enum):
    """How a room tells what went wrong: content type and schema."""

    IRMA = (_JSON, "IrmaError", "An error, as an IRMA server tells it.")
    PROBLEM = (PROBLEM_TYPE, "Problem", "An error, as problem details (RFC 9457).")
    PAGE = (_HTML, None, "A page that says what to do.")


@dataclass(frozen=True, kw_only=True)
class Body:
    """What is sent, by its content type."""

    description: str
    content: Mapping[str, JsonObject] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one operation takes and answers.

    Attributes:
        answers: by status.
        takes: the request's body.
        body_required: whether there has to be one.
        headers: those of the request that count, and what they are for.
        errors: how everything else is told.
        security: each of these ways will do.
    """

    answers: Mapping[int, Body]
    takes: Body | None = None
    body_required: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Errors | None = Errors.IRMA
    security: tuple[str, ...] = ()


def _json(description: str, schema: JsonObject | str, **headers: str) -> Body:
    shape = ref(schema) if isinstance(schema, str) else schema
    named = {name.replace("_", "-"): said for name, said in headers.items()}
    return Body(description=description, content={_JSON: shape}, headers=named)


def _text(description: str, kind: str = _TEXT) -> Body:
    return Body(description=description, content={kind: _STRING})


#: Tokens in paths: who has one needs no other credential.
REQUESTOR: Final = ("token", "none")
CHAINS: Final = ("token", "jwt", "none")
OPERATOR: Final = ("operator",)

_RESULT: Final = ref("SessionResult")
_REQUEST: Final[JsonObject] = {
    "anyOf": [
        ref(name)
        for name in (
            "SessionRequest",
            "DisclosureRequest",
            "SignatureRequest",
            "IssuanceRequest",
        )
    ]
}
_REQUEST_BODY: Final = Body(
    description=(
        "A session request, plain or extended (the legacy forms are taken as well);"
        " or, as text, a JWT that holds one and is signed by the requestor."
    ),
    content={_JSON: _REQUEST, _TEXT: _STRING},
)
_NO_CONTENT: Final = Body(description="Taken in.")
_POSTED: Final = Body(
    description="The result: as JSON, or as a JWT of the IRMA server behind.",
    content={_JSON: _RESULT, _TEXT: _STRING},
)
_KEY_SET: Final[JsonObject] = {
    "type": "object",
    "required": ["keys"],
    "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
}

_AWAY: Final[JsonObject] = {
    "type": "array",
    "items": {"type": "string", "examples": ["store", "broker"]},
}
_READY: Final[JsonObject] = {
    "type": "object",
    "required": ["ready"],
    "properties": {"ready": {"const": True}, "degraded": _AWAY},
}
_UNREADY: Final[JsonObject] = {
    "allOf": [
        ref("Problem"),
        {
            "type": "object",
            "required": ["ready", "faults"],
            "properties": {"ready": {"const": False}, "faults": _AWAY},
        },
    ]
}

_SESSIONS: Final[Mapping[str, Told]] = {
    "POST /session": Told(
        takes=_REQUEST_BODY,
        headers={"Idempotency-Key": "The same key within 24 hours: the same session."},
        answers={
            200: _json(
                "Started.",
                "SessionPackage",
                Chain_Id="The id of its chain.",
                Chain_Page="The address of the user's page, a secret.",
            )
        },
        security=REQUESTOR,
    ),
    "GET /session/{token}/status": Told(answers={200: _json("As it is now.", "Status")}),
    "GET /session/{token}/result": Told(
        answers={200: _json("As it is now.", "SessionResult")}
    ),
    "GET /session/{token}/result-jwt": Told(answers={200: _text("A JWT.")}),
    "GET /session/{token}/getproof": Told(answers={200: _text("A JWT of old.")}),
    "DELETE /session/{token}": Told(
        answers={200: Body(description="Cancelled, or over already.")}
    ),
    "GET /session/{token}/statusevents": Told(
        answers={200: _text("Each change of the status, as a JSON string.", _EVENTS)}
    ),
    "POST /revocation": Told(
        takes=Body(
            description="What to revoke; or, as text, a JWT that holds it.",
            content={_JSON: ref("RevocationRequest"), _TEXT: _STRING},
        ),
        answers={200: _text("`OK`: revoked.")},
        security=REQUESTOR,
    ),
    "POST /irma/session/{name}": Told(
        answers={200: _json("The session that was started.", "SessionPointer")}
    ),
}

_SERVER: Final[Mapping[str, Told]] = {
    "GET /publickey": Told(answers={200: _text("The key as PEM.")}),
    "GET /health": Told(answers={200: _text("`OK`.")}, errors=None),
    "GET /livez": Told(answers={200: _text("`OK`.")}, errors=None),
    "GET /readyz": Told(
        answers={
            200: _json("Ready; what is away all the same is listed.", _READY),
            503: Body(
                description="Not ready: what is away.",
                content={PROBLEM_TYPE: _UNREADY},
            ),
        },
        errors=None,
    ),
    "GET /.well-known/jwks.json": Told(
        answers={200: Body(description="The keys.", content={JWKS_TYPE: _KEY_SET})},
        errors=None,
    ),
}

_CHAINS: Final[Mapping[str, Told]] = {
    "GET /chains/{chain_id}": Told(
        answers={200: _json("The chain as it is now.", "ChainView")},
        errors=Errors.PROBLEM,
        security=CHAINS,
    ),
    "GET /events": Told(
        headers={"Last-Event-ID": "The event that was had last; `start` for all."},
        answers={200: _text("Each event of the caller's, as a CloudEvent.", _EVENTS)},
        errors=Errors.PROBLEM,
        security=CHAINS,
    ),
    "GET /chains/{chain_id}/events": Told(
        headers={"Last-Event-ID": "The event that was had last."},
        answers={
            200: _text("Each event of the chain, as a CloudEvent.", _EVENTS),
            204: Body(description="The chain is over, and its last event was had."),
        },
        errors=Errors.PROBLEM,
        security=CHAINS,
    ),
}

_CHANGED: Final = Told(
    answers={
        200: _json("The plan as it is now.", "ReplayView"),
        404: Body(
            description="There is no such plan, or there are no operators here.",
            content={PROBLEM_TYPE: ref("Problem")},
        ),
        409: Body(
            description="It stands so that this cannot be done; the detail says how.",
            content={PROBLEM_TYPE: ref("Problem")},
        ),
    },
    errors=Errors.PROBLEM,
    security=OPERATOR,
)

_REPLAYS: Final[Mapping[str, Told]] = {
    "POST /replays": Told(
        takes=Body(
            description="Which failures are meant, and what is to become of them.",
            content={_JSON: ref("ReplayAsked")},
        ),
        answers={
            200: _json("What there is; nothing was started.", "SelectionView"),
            201: _json("A plan was made.", "ReplayView", Location="Its address."),
            400: Body(
                description="Nothing was started: `field` is wrong, `detail` says why.",
                content={PROBLEM_TYPE: ref("Problem")},
            ),
        },
        errors=Errors.PROBLEM,
        security=OPERATOR,
    ),
    "GET /replays": Told(
        answers={200: _json("The newest first.", "ReplayList")},
        errors=Errors.PROBLEM,
        security=OPERATOR,
    ),
    "GET /replays/{replay_id}": Told(
        answers={200: _json("The plan as it is now.", "ReplayView")},
        errors=Errors.PROBLEM,
        security=OPERATOR,
    ),
    "POST /replays/{replay_id}/pause": _CHANGED,
    "POST /replays/{replay_id}/resume": _CHANGED,
    "POST /replays/{replay_id}/cancel": _CHANGED,
}

_REPLIES: Final[Mapping[str, Told]] = {
    "POST /reply/{token}": Told(
        takes=Body(
            description="The next session request, in any form; empty for the end.",
            content=_REQUEST_BODY.content,
        ),
        body_required=False,
        answers={
            204: Body(description="Stored; the same answer again gets the same 204."),
            409: Body(
                description="Another answer was first.",
                content={PROBLEM_TYPE: ref("Problem")},
            ),
            410: Body(
                description="Too late: expired, ended, replayed or deleted.",
                content={PROBLEM_TYPE: ref("Problem")},
            ),
        },
        errors=Errors.PROBLEM,
    ),
}

_USER: Final[Mapping[str, Told]] = {
    "GET /page/{token}": Told(
        answers={200: _text("The page.", _HTML)}, errors=Errors.PAGE
    ),
    "GET /page/{token}/status": Told(
        answers={200: _json("What the page shows.", "ChainPage")}, errors=Errors.PROBLEM
    ),
    "GET /page/{token}/statusevents": Told(
        headers={"Last-Event-ID": "The revision that was seen last."},
        answers={
            200: _text("What the page shows, and each change of it.", _EVENTS),
            204: Body(description="The chain is over, and its end was seen."),
        },
        errors=Errors.PROBLEM,
    ),
}

_BACKEND: Final[Mapping[str, Told]] = {
    "POST /bridge/{token}": Told(
        takes=_POSTED,
        answers={
            200: _json("The next session's request.", "SessionRequest"),
            204: Body(description="No next session within the app's flow."),
            502: Body(description="The chain failed; the app is told so."),
        },
    ),
    "POST /callback/{token}": Told(takes=_POSTED, answers={204: _NO_CONTENT}),
}

#: By method and path.
TOLD: Final[Mapping[str, Told]] = {
    **_SESSIONS,
    **_SERVER,
    **_CHAINS,
    **_REPLAYS,
    **_REPLIES,
    **_USER,
    **_BACKEND,
}
