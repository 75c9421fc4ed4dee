"""Repairs of what earlier versions stored, for migrations."""

from collections.abc import Callable
from typing import Any

from core.text import storable_value, unstorable_part


def make_storable(app: str, model: str, *names: str) -> Callable[[Any, Any], None]:
    """A function for RunPython, which repairs the JSON columns `names`: a row with half a character in one of them
    breaks each list that it is in. PostgreSQL never took such rows."""

    def repair(apps: Any, schema_editor: Any) -> None:
        rows = apps.get_model(app, model).objects.using(schema_editor.connection.alias)
        for row in rows.only("pk", *names).iterator():
            broken = [name for name in names if unstorable_part(getattr(row, name))]
            for name in broken:
                setattr(row, name, storable_value(getattr(row, name)))
            if broken:
                row.save(update_fields=broken)

    return repair
