"""Cursor pagination of REST lists."""

from dataclasses import astuple, dataclass
from typing import Any

from django.core import signing
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model, Q
from rest_framework import pagination
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param


@dataclass(frozen=True)
class Cursor:
    """The position of a page: after the row with this value and id or, with `back`, before it."""

    value: Any
    pk: int
    back: bool

    def encode(self, salt: str) -> str:
        """Return the cursor as signed text: values that come back need no check."""
        return signing.dumps(astuple(self), salt=salt)

    @classmethod
    def decode(cls, text: str, salt: str) -> "Cursor":
        """Parse a cursor. Raises NotFound unless `encode` made it with the same `salt`."""
        try:
            return cls(*signing.loads(text, salt=salt))
        except signing.BadSignature as error:
            raise NotFound("Invalid cursor.") from error


class CursorPagination(pagination.CursorPagination):
    """`{"next", "previous", "results"}`; `page_size` up to 200.

    Rows come in `ordering`; where the view has `ordering_columns` ({name: column}), by `?ordering=name` or `-name`, the
    first of them by default. Rows of the same value come by their id, rows without a value last in both directions:
    each row stands on exactly one page, whatever is inserted meanwhile.
    """

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = "-pk"  # the newest first

    rows: list[Any]

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.url = request.build_absolute_uri()
        self._order_by(getattr(view, "ordering_columns", {}), request.query_params.get("ordering"))
        self.salt = f"cursor of {queryset.model._meta.label} by {self.ordering_name}"
        self.nullable = _is_nullable(queryset.model, self.column)
        text = request.query_params.get(self.cursor_query_param)
        start = Cursor.decode(text, self.salt) if text else None
        back = start is not None and start.back
        size = self.get_page_size(request) or self.max_page_size
        rows = queryset.filter(self._beyond(start)) if start else queryset
        found = list(rows.order_by(*self._order(back))[: size + 1])
        more = len(found) > size
        self.rows = found[:size][::-1] if back else found[:size]
        self.has_next, self.has_previous = (True, more) if back else (more, start is not None)
        return self.rows

    def _order_by(self, columns: dict[str, str], asked: str | None) -> None:
        """Set the order. Raises ValidationError if `asked` is not one of `columns`."""
        self.ordering_name = (asked or next(iter(columns))) if columns else self.ordering
        name = self.ordering_name.removeprefix("-")
        if columns and name not in columns:
            known = ", ".join(columns)
            raise ValidationError({"ordering": [f"Order by one of: {known}; with - before it, descending."]})
        self.column = columns.get(name, name)

    @property
    def _descending(self) -> bool:
        return self.ordering_name.startswith("-")

    def _order(self, back: bool) -> list[Any]:
        falling = self._descending != back
        if self.column == "pk":
            return ["-pk" if falling else "pk"]
        column, pk = F(self.column), "-pk" if back else "pk"
        if not self.nullable:  # the plain order can use an index
            return [column.desc() if falling else column.asc(), pk]
        nulls = {"nulls_first": True} if back else {"nulls_last": True}
        return [column.desc(**nulls) if falling else column.asc(**nulls), pk]

    def _beyond(self, cursor: Cursor) -> Q:
        """Return the condition for rows after the cursor, or before it."""
        falling = self._descending != cursor.back
        if self.column == "pk":
            return Q(pk__lt=cursor.pk) if falling else Q(pk__gt=cursor.pk)
        tied = Q(pk__lt=cursor.pk) if cursor.back else Q(pk__gt=cursor.pk)
        missing = Q(**{f"{self.column}__isnull": True})
        if cursor.value is None:
            return ~missing | tied if cursor.back else missing & tied
        lookup = "lt" if falling else "gt"
        beyond = Q(**{f"{self.column}__{lookup}": cursor.value}) | Q(**{self.column: cursor.value}) & tied
        return beyond | missing if self.nullable and not cursor.back else beyond

    def get_next_link(self) -> str | None:
        return self._link(self.rows[-1], back=False) if self.has_next and self.rows else None

    def get_previous_link(self) -> str | None:
        return self._link(self.rows[0], back=True) if self.has_previous and self.rows else None

    def _link(self, row: Any, *, back: bool) -> str:
        value = row
        for step in self.column.split("__"):
            value = getattr(value, step)
        return replace_query_param(self.url, self.cursor_query_param, Cursor(value, row.pk, back).encode(self.salt))


class OldestFirst(CursorPagination):
    ordering = "pk"


def _is_nullable(model: type[Model], column: str) -> bool:
    """Whether the column may be NULL, as computed columns and those of related tables may."""
    try:
        return column != "pk" and model._meta.get_field(column).null
    except FieldDoesNotExist:
        return True
