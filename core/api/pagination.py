"""Pages of REST lists: by a cursor, never by a number."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import F, Q
from rest_framework import pagination
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param


class CursorPagination(pagination.CursorPagination):
    """`{"next", "previous", "results"}`, newest first; `page_size` up to 200."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = "-id"


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: after the row with this value and id, or before it where `back`."""

    ordering: str
    value: Any
    pk: int
    back: bool

    def encode(self) -> str:
        return urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    @classmethod
    def decode(cls, text: str, ordering: str) -> "Cursor":
        """Raises NotFound for what `encode` has not made, or has made for another ordering."""
        try:
            cursor = cls(**json.loads(urlsafe_b64decode(text.encode())))
        except (ValueError, TypeError) as error:
            raise NotFound("Invalid cursor.") from error
        known = isinstance(cursor.value, str | int | float | None) and isinstance(cursor.pk, int)
        if cursor.ordering != ordering or not known:
            raise NotFound("Invalid cursor.")
        return cursor


class KeysetPagination(CursorPagination):
    """Rows by `?ordering=name` or `-name` of the view's `ordering_columns` ({name: column}), the first by default.

    Rows of the same value come by their id, rows without a value last in both directions: each row stands on exactly
    one page, whatever is inserted meanwhile.
    """

    rows: list[Any]

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.url = request.build_absolute_uri()
        self.ordering_name = request.query_params.get("ordering") or next(iter(view.ordering_columns))
        self.column = self._column(view.ordering_columns)
        text = request.query_params.get(self.cursor_query_param)
        start = Cursor.decode(text, self.ordering_name) if text else None
        back = start is not None and start.back
        size = self.get_page_size(request) or self.max_page_size
        rows = queryset.filter(self._beyond(start)) if start else queryset
        found = list(rows.order_by(*self._order(back))[: size + 1])
        more = len(found) > size
        self.rows = found[:size][::-1] if back else found[:size]
        self.has_next, self.has_previous = (True, more) if back else (more, start is not None)
        return self.rows

    def _column(self, columns: dict[str, str]) -> str:
        try:
            return columns[self.ordering_name.removeprefix("-")]
        except KeyError:
            known = ", ".join(columns)
            raise ValidationError({"ordering": [f"Order by one of: {known}; with - before it, descending."]}) from None

    @property
    def _descending(self) -> bool:
        return self.ordering_name.startswith("-")

    def _order(self, back: bool) -> list[Any]:
        if self.column == "pk":
            return ["-pk" if self._descending != back else "pk"]
        column = F(self.column)
        if back:
            return [column.asc(nulls_first=True) if self._descending else column.desc(nulls_first=True), "-pk"]
        return [column.desc(nulls_last=True) if self._descending else column.asc(nulls_last=True), "pk"]

    def _beyond(self, cursor: Cursor) -> Q:
        """The rows that come after the cursor's, or before it."""
        if self.column == "pk":
            return Q(pk__lt=cursor.pk) if self._descending != cursor.back else Q(pk__gt=cursor.pk)
        missing = Q(**{f"{self.column}__isnull": True})
        tied = Q(pk__lt=cursor.pk) if cursor.back else Q(pk__gt=cursor.pk)
        if cursor.value is None:
            return ~missing | tied if cursor.back else missing & tied
        lookup = "lt" if self._descending != cursor.back else "gt"
        beyond = Q(**{f"{self.column}__{lookup}": cursor.value}) | Q(**{self.column: cursor.value}) & tied
        return beyond if cursor.back else beyond | missing

    def get_next_link(self) -> str | None:
        return self._link(self.rows[-1], back=False) if self.has_next and self.rows else None

    def get_previous_link(self) -> str | None:
        return self._link(self.rows[0], back=True) if self.has_previous and self.rows else None

    def _link(self, row: Any, *, back: bool) -> str:
        value = row
        for step in self.column.split("__"):
            value = getattr(value, step)
        cursor = Cursor(self.ordering_name, value, row.pk, back)
        return replace_query_param(self.url, self.cursor_query_param, cursor.encode())
