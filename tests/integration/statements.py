"""Find tables that a statement reads or writes without its tenant, with PostgreSQL's parser.

Each table of each query must be filtered by the tenant as a value, not by another table's column.
Citus needs this to send a statement to one node, and it separates tenants on any server.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pglast
import psycopg
import pytest
import sqlalchemy as sa
from pglast import parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from domain import driver

# Untyped, because the classes declare every field as optional, even those that are always set.
ast: Any = pglast.ast

SCHEMAS = {"studyplan", "pg_catalog"}
# With several arguments, the parser itself resolves it to pg_catalog, whatever search_path is.
UNQUALIFIED = {"unnest"}


@dataclass(frozen=True)
class Statement:
    """A statement that was sent, with the values of its parameters, numbered from 1."""

    text: str
    values: Sequence[Any] = ()

    @classmethod
    def of(cls, query: Any, params: Any) -> "Statement":
        """Return the statement that psycopg sends for a query and its parameters."""
        text = query.decode() if isinstance(query, bytes) else str(query)
        if params is None:
            return cls(text)
        converted = PostgresQuery(Transformer())
        converted.convert(text, params)
        given = params
        if isinstance(params, Mapping):
            given = [params[name] for name in converted._order or ()]  # as psycopg numbers them
        return cls(converted.query.decode(), given)


def violations(statement: Statement, tenant_id: UUID) -> list[str]:
    """Return a short text for each violation in a statement."""
    return [
        found
        for raw in parse_sql(statement.text)
        for found in _Query(statement, tenant_id, frozenset()).check(raw.stmt)
    ]


@dataclass
class _Query:
    statement: Statement
    tenant_id: UUID
    ctes: frozenset[str]
    tables: dict[str, str] = field(default_factory=dict)
    """The tables of this query only, by the name that qualifies their columns."""
    conditions: list[Any] = field(default_factory=list)

    def check(self, node: Any) -> Iterator[str]:
        if isinstance(node, ast.TransactionStmt):
            return
        if with_clause := getattr(node, "withClause", None):
            self.ctes |= {cte.ctename for cte in with_clause.ctes}
        if isinstance(node, ast.CopyStmt | ast.InsertStmt):
            yield from _check_columns(node)
        elif isinstance(node, ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt):
            yield from self._check_filters(node)
        else:
            yield f"unexpected {type(node).__name__}"
        yield from self._check_children(node)

    def _check_filters(self, node: Any) -> Iterator[str]:
        if not isinstance(node, ast.SelectStmt):
            yield from self._add_tables(node.relation)
        for item in getattr(node, "fromClause", None) or ():
            yield from self._add_tables(item)
        self.conditions += list(_conjuncts(node.whereClause))
        for name, table in self.tables.items():
            if not any(self._names_tenant(one, name) for one in self.conditions):
                yield f"{table} is not filtered by the tenant"

    def _add_tables(self, item: Any) -> Iterator[str]:
        match item:
            case ast.RangeVar() if item.schemaname is None and item.relname in self.ctes:
                return
            case ast.RangeVar():
                yield from _check_schema(item)
                if item.schemaname == "studyplan":
                    self.tables[item.alias.aliasname if item.alias else item.relname] = item.relname
            case ast.JoinExpr():
                yield from self._add_tables(item.larg)
                yield from self._add_tables(item.rarg)
                self.conditions += list(_conjuncts(item.quals))

    def _check_children(self, node: Any) -> Iterator[str]:
        """Check subqueries at any depth, each as a separate query, and the names of functions."""
        for child in _children(node):
            if isinstance(child, ast.SelectStmt | ast.UpdateStmt | ast.DeleteStmt | ast.InsertStmt):
                yield from _Query(self.statement, self.tenant_id, self.ctes).check(child)
                continue
            if isinstance(child, ast.FuncCall):
                names = [name.sval for name in child.funcname]
                if names[0] not in SCHEMAS | UNQUALIFIED:
                    yield f"function {'.'.join(names)} is not named with its schema"
            yield from self._check_children(child)

    def _names_tenant(self, condition: Any, alias: str) -> bool:
        """``tenant_id = value``, or ``(tenant_id, …) IN ((value, …), …)``."""
        if not isinstance(condition, ast.A_Expr):
            return False
        left, right = condition.lexpr, condition.rexpr
        if condition.kind == A_Expr_Kind.AEXPR_OP:
            return self._is_column(left, alias) and self._is_tenant(right)
        if condition.kind == A_Expr_Kind.AEXPR_IN and isinstance(left, ast.RowExpr):
            return self._is_column(left.args[0], alias) and all(
                self._is_tenant(row.args[0]) for row in right
            )
        return False

    def _is_column(self, node: Any, alias: str) -> bool:
        if not isinstance(node, ast.ColumnRef):
            return False
        names = [name.sval for name in node.fields]
        if names[-1] != "tenant_id":
            return False
        return alias in names[:-1] or (len(names) == 1 and len(self.tables) == 1)

    def _is_tenant(self, node: Any) -> bool:
        while isinstance(node, ast.TypeCast):
            node = node.arg
        if isinstance(node, ast.ParamRef):
            return str(self.statement.values[node.number - 1]) == str(self.tenant_id)
        return isinstance(node, ast.A_Const) and node.val.sval == str(self.tenant_id)


def _check_columns(node: Any) -> Iterator[str]:
    yield from _check_schema(node.relation)
    columns = node.attlist if isinstance(node, ast.CopyStmt) else node.cols
    if "tenant_id" not in [getattr(one, "sval", None) or one.name for one in columns or ()]:
        yield f"{node.relation.relname} is written without tenant_id"


def _check_schema(relation: Any) -> Iterator[str]:
    if relation.schemaname not in SCHEMAS:
        yield f"{relation.relname} is not named with its schema"


def _conjuncts(node: Any) -> Iterator[Any]:
    if isinstance(node, ast.BoolExpr) and node.boolop == BoolExprType.AND_EXPR:
        for one in node.args:
            yield from _conjuncts(one)
    elif node is not None:
        yield node


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        for one in node:
            yield from [one] if isinstance(one, ast.Node) else _children(one)
    elif isinstance(node, ast.Node):
        for name in node.__slots__:
            value = getattr(node, name)
            yield from [value] if isinstance(value, ast.Node) else _children(value)


@contextmanager
def recorded(statements: list[Statement]) -> Iterator[Callable[..., dict[str, Any]]]:
    """Record the statements that the package sends past SQLAlchemy, and those of cursors.

    Yields a function that returns the ``connect_args`` of an engine whose cursors are recorded.
    """
    execute = driver._execute

    def record(connection: Any, text: str) -> Any:
        statements.append(Statement(text))
        return execute(connection, text)

    def connect_args(*, is_async: bool = False) -> dict[str, Any]:
        base: Any = psycopg.AsyncCursor if is_async else psycopg.Cursor
        return {"cursor_factory": _recording(base, statements)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_execute", record)
        yield connect_args


def engine_at(url: sa.URL, connect_args: dict[str, Any]) -> sa.Engine:
    return sa.create_engine(url, connect_args=connect_args, pool_size=2)


def _recording(base: Any, statements: list[Statement]) -> Any:
    def execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        statements.append(Statement.of(query, params))
        return base.execute(self, query, params, **options)

    def executemany(self: Any, query: Any, rows: Any, **options: Any) -> Any:
        rows = list(rows)
        statements.extend(Statement.of(query, params) for params in rows)
        return base.executemany(self, query, rows, **options)

    def copy(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        statements.append(Statement.of(query, None))
        return base.copy(self, query, *arguments, **options)

    methods = {"execute": execute, "executemany": executemany, "copy": copy}
    return type("Recording", (base,), methods)
