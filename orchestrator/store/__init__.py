"""The database: SQLite embedded, PostgreSQL in production, one code for both.

`orchestrator.store.schema.migrate` upgrades it.
"""

from orchestrator.store.faults import StatementRefused
from orchestrator.store.revisions import check_schema
from orchestrator.store.store import SqlStore, open_store

__all__ = ["SqlStore", "StatementRefused", "check_schema", "open_store"]
