"""What others may rely on: schemas and examples of events, and what would break them."""

from schemas.contract.compatibility import broken_events, broken_operations
from schemas.contract.describing import EVENT_TYPES, event_schema
from schemas.contract.examples import example

__all__ = [
    "EVENT_TYPES",
    "broken_events",
    "broken_operations",
    "event_schema",
    "example",
]
