"""Whether a column's value is one of a list that goes as one parameter.

With a parameter for each value, each length is a statement of its own, which is compiled,
parsed and planned anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, Boolean, String, TypeDecorator, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy import Column, Dialect
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.types import TypeEngine


class _Texts(TypeDecorator[list[str]]):
    """A list of texts; SQLite has no arrays, but reads JSON."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = JSON
    cache_ok: bool | None = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """What the database takes."""
        return ARRAY(String()) if dialect.name == "postgresql" else JSON()


class _Among(FunctionElement[bool]):
    """The column and the list, as its two clauses."""

    type: TypeEngine[bool] = Boolean()
    inherit_cache: bool | None = True


def among(column: Column[str], name: str) -> FunctionElement[bool]:
    """Whether the column's value is in the list that is given as `name`."""
    return _Among(column, bindparam(name, type_=_TEXTS))


_TEXTS: Final = _Texts()


@compiles(_Among)
def _among(element: _Among, compiler: SQLCompiler, **options: object) -> str:
    column, texts = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - both ours


@compiles(_Among, "postgresql")
def _among_array(element: _Among, compiler: SQLCompiler, **options: object) -> str:
    column, texts = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY ({texts})"
