"""Precompiled SQL for statements that run with every call or file, as the ORM would compile them each time."""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import DateField, DecimalField, Field, Model, QuerySet

Row = Sequence[Any]


class Select:
    """A SELECT by a list of ids, compiled once for each length of the list (rounded up to powers of two)."""

    def __init__(self, by_ids: Callable[[Collection[int]], "QuerySet[Any, tuple[Any, ...]]"]) -> None:
        """`by_ids`: builds the query, which uses `values_list` and has no other parameters."""
        self._by_ids = by_ids
        self._compiled: dict[int, tuple[Any, str, Any]] = {}

    def rows(self, ids: Collection[int]) -> list[Row]:
        if not ids:
            return []
        length = 1 << (len(ids) - 1).bit_length()
        compiler, sql, converters = self._compile(length)
        some = next(iter(ids))
        with connection.cursor() as cursor:
            cursor.execute(sql, [*ids, *[some] * (length - len(ids))])
            return list(compiler.apply_converters(cursor.fetchall(), converters))

    def _compile(self, length: int) -> tuple[Any, str, Any]:
        if length not in self._compiled:
            query = self._by_ids(range(1, length + 1)).query
            compiler = query.get_compiler(connection=connection)
            sql, _ = compiler.as_sql()
            self._compiled[length] = (compiler, sql, compiler.get_converters(each for each, *_ in compiler.select))
        return self._compiled[length]


def update_rows(model: type[Model], names: tuple[str, ...], rows: Collection[Row]) -> None:
    """Update many rows. Each of `rows` contains the values in the order of `names`, then the id."""
    if not rows:
        return
    columns, prepare = _columns(model, names)
    assignments = ", ".join(f"{column} = %s" for column in columns)
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {_table(model)} SET {assignments} WHERE id = %s", prepare(rows))  # noqa: S608


def insert_rows(model: type[Model], names: tuple[str, ...], rows: Collection[Row]) -> list[int]:
    """Insert rows with values in the order of `names`, in one statement. Returns their ids, in order."""
    if not rows:
        return []
    columns, prepare = _columns(model, names)
    values = ", ".join([f"({', '.join(['%s'] * len(names))})"] * len(rows))
    sql = f"INSERT INTO {_table(model)} ({', '.join(columns)}) VALUES {values} RETURNING id"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for row in prepare(rows) for value in row])
        return [row_id for (row_id,) in cursor.fetchall()]


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


@cache
def _columns(
    model: type[Model], names: tuple[str, ...]
) -> tuple[list[str], Callable[[Collection[Row]], Sequence[Row]]]:
    """Return the columns of the fields, and a function that converts rows to database values."""
    by_name: dict[str, Field[Any, Any]] = {field.name: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in names]
    # Of the kinds that are used here only these differ between Python and databases: no UUID, no JSON, no duration is.
    special = [(i, field) for i, field in enumerate(fields) if isinstance(field, DateField | DecimalField)]

    def prepare(rows: Collection[Row]) -> Sequence[Row]:
        prepared = [list(row) for row in rows]
        for position, field in special:
            known: dict[Any, Any] = {}  # the same moment stands in all rows
            for row in prepared:
                value = row[position]
                if value not in known:
                    known[value] = field.get_db_prep_save(value, connection)
                row[position] = known[value]
        return prepared

    return [connection.ops.quote_name(str(field.column)) for field in fields], prepare
