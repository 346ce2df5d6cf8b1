"""The rights that bridge and callback URLs carry."""

from __future__ import annotations

import pytest
from pydantic import JsonValue, ValidationError

from schemas.capabilities import Capability
from schemas.events import explain

#: What only some kinds have.
OPTIONAL = {"target", "session", "attempt"}

BRIDGE = Capability(
    kind="bridge",
    chain_id="C1",
    step=1,
    generation=0,
    requestor="acme",
    validity_s=120,
    expires_at=1_774_745_998,
    target="https://shop.example/next?x=1",
)


@pytest.mark.parametrize("kind,target", [("bridge", "https://a/b"), ("callback", None)])
def test_what_was_sealed_is_read_again(kind: str, target: str | None) -> None:
    """A round trip changes nothing, with a target or without."""
    fields = BRIDGE.model_dump() | {"kind": kind, "target": target}
    capability = Capability.model_validate(fields)
    assert Capability.model_validate_json(capability.model_dump_json()) == capability


@pytest.mark.parametrize(
    "changes,field",
    [
        ({"kind": "MARKER"}, "kind"),
        ({"step": "MARKER"}, "step"),
        ({"expires_at": "MARKER"}, "expires_at"),
        ({"target": ["MARKER"]}, "target"),
        ({"admin": "MARKER"}, "admin"),
    ],
)
def test_wrong_fields_are_named_without_their_values(
    changes: dict[str, JsonValue], field: str
) -> None:
    """A right is exactly one of those that exist."""
    with pytest.raises(ValidationError) as caught:
        Capability.model_validate(BRIDGE.model_dump() | changes)
    assert explain(caught.value).startswith(f"{field}: ")
    assert "MARKER" not in explain(caught.value)


@pytest.mark.parametrize("field", sorted(set(Capability.model_fields) - OPTIONAL))
def test_nothing_is_taken_for_granted(field: str) -> None:
    """Only what other kinds need may be absent: a target, a session, an attempt."""
    with pytest.raises(ValidationError, match=field):
        Capability.model_validate(BRIDGE.model_dump(exclude={field}))


def test_a_right_cannot_be_widened() -> None:
    """Capabilities are frozen."""
    with pytest.raises(ValidationError, match="frozen"):
        BRIDGE.step = 2  # type: ignore[misc] # mypy knows it too
