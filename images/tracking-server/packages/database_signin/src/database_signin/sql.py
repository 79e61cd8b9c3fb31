"""Small helpers to write SQL with names that come from settings."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection


def quoted(connection: Connection, name: str) -> str:
    """A name as an identifier of this database."""
    return connection.dialect.identifier_preparer.quote_identifier(name)


def run(connection: Connection, statement: str, *values: Any) -> None:
    """Run a statement; ``%s`` stands for each value."""
    connection.exec_driver_sql(statement, values or None)


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The only value that a query gives."""
    return connection.exec_driver_sql(query, values or None).scalar_one()


def rows(connection: Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows that a query gives."""
    return [tuple(row) for row in connection.exec_driver_sql(query, values or None)]
