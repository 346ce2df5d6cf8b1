"""What a database's error means to us: try again, it is away, or it will never take this.

Drivers put values into their texts (asyncpg's DETAIL, SQLAlchemy's parameters), so only a
code ever leaves this room and no error of theirs is chained.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import (
    DBAPIError,
    EmulatedDBAPIException,
    NotSupportedError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.domain.errors import OrchestratorError, Refused, StoreUnavailable

#: Everything that can come out of a statement, a commit, a connect or the pool.
FAULTS: Final = (DBAPIError, PoolTimeout, TimeoutError, OSError)

#: PostgreSQL: serialization failure, deadlock.
_PASSING_SQLSTATES: Final = frozenset({"40001", "40P01"})
#: SQLite's primary codes BUSY and LOCKED.
_PASSING_CODES: Final = frozenset({5, 6})

#: PostgreSQL's classes "data exception" and "integrity constraint violation".
_REFUSING_CLASSES: Final = frozenset({"22", "23"})
#: SQLite's primary codes TOOBIG, CONSTRAINT and MISMATCH.
_REFUSING_CODES: Final = frozenset({18, 19, 20})


class StatementRefused(Refused):
    """The database will never take these values; a defect of ours."""


def passes(fault: Exception) -> bool:
    """Whether the transaction was rolled back and may well go through when repeated.

    "Not supported" is among them: a statement that was prepared before an upgrade.
    """
    if isinstance(fault, NotSupportedError):
        return True
    return _sqlstate(fault) in _PASSING_SQLSTATES or _code(fault) in _PASSING_CODES


def translated(fault: Exception) -> OrchestratorError:
    """The fault as an error of ours."""
    if _refused(fault):
        return StatementRefused(f"the database refused a statement ({_name(fault)})")
    return StoreUnavailable(f"the database is away ({_name(fault)})")


def _refused(fault: Exception) -> bool:
    by_client = isinstance(_driver_error(fault), ValueError)  # asyncpg.DataError
    by_server = (_sqlstate(fault) or "")[:2] in _REFUSING_CLASSES
    return by_client or by_server or _code(fault) in _REFUSING_CODES


def _name(fault: Exception) -> str:
    orig = _driver_error(fault)
    name = _sqlstate(fault) or getattr(orig, "sqlite_errorname", None)
    return str(name or type(orig).__name__)


def _driver_error(fault: Exception) -> BaseException:
    """The driver's own error, under SQLAlchemy's and under its emulation of DBAPI's."""
    emulated = fault.orig if isinstance(fault, DBAPIError) else None
    if isinstance(emulated, EmulatedDBAPIException):
        return emulated.orig or emulated
    return emulated or fault


def _sqlstate(fault: Exception) -> str | None:
    state = getattr(_driver_error(fault), "sqlstate", None)
    return state if isinstance(state, str) else None


def _code(fault: Exception) -> int | None:
    """SQLite's primary result code, the low byte of the extended one."""
    code = getattr(_driver_error(fault), "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None
