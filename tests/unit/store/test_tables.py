"""Tables and dataclasses say the same."""

from __future__ import annotations

from dataclasses import fields

from orchestrator.domain.chain import Chain, Slot, Step
from orchestrator.ports import Message, Waiting
from orchestrator.store import tables


def names(kind: type[Chain | Step | Slot | Message | Waiting]) -> set[str]:
    """A dataclass's fields."""
    return {field.name for field in fields(kind)}


def test_every_field_of_a_chain_has_its_column() -> None:
    """And there are no others."""
    assert set(tables.chains.c.keys()) == names(Chain)


def test_every_field_of_a_step_has_its_column() -> None:
    """The slot is its key."""
    assert set(tables.steps.c.keys()) == names(Step) - {"slot"} | names(Slot)


def test_every_field_of_a_waiting_row_has_its_column() -> None:
    """Beside those of its message are the order of writing and the lease."""
    own = {"number", "lease_owner", "lease_until", "message_id"}
    message = names(Message) - {"id"}
    waits = names(Waiting) - {"message"}
    assert set(tables.waiting.c.keys()) == own | message | waits
