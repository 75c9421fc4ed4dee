"""Many rows changed at once, each to values of its own."""

from collections.abc import Sequence

from django.db import connections, router
from django.db.models import Model


def update_each(rows: Sequence[Model], names: Sequence[str]) -> None:
    """Write the named fields of rows of one model, which exist already; rows that are gone by now stay gone.

    Does what `bulk_update` does, which builds a `CASE` for each field of each row, by one prepared statement.
    """
    if not rows:
        return
    meta = rows[0]._meta
    connection = connections[router.db_for_write(type(rows[0]))]
    quoted = connection.ops.quote_name
    columns = {field.name: field for field in meta.concrete_fields}
    fields = [columns[name] for name in (*names, meta.pk.name)]
    *values, key = (f"{quoted(str(field.column))} = %s" for field in fields)
    statement = f"UPDATE {quoted(meta.db_table)} SET {', '.join(values)} WHERE {key}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [[field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields] for row in rows],
        )
