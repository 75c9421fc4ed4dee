"""Admin change lists without COUNT(*), for long tables: each page reads one row more than it shows."""

from collections.abc import Sequence
from typing import Any

from django.core.paginator import EmptyPage, Page, Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.views import ChangeList


class NoCountPage(Page[Any]):
    """One page of rows, which knows whether there is a next one."""

    def __init__(self, rows: Sequence[Any], number: int, paginator: "NoCountPaginator", more: bool) -> None:
        super().__init__(rows, number, paginator)
        self.more = more

    def has_next(self) -> bool:
        return self.more

    def start_index(self) -> int:
        """The 1-based index of the first row; 0 where there is none."""
        return (self.number - 1) * self.paginator.per_page + 1 if len(self) else 0

    def end_index(self) -> int:
        return (self.number - 1) * self.paginator.per_page + len(self)


class NoCountPaginator(Paginator):  # type: ignore[type-arg]  # generic in its stub only
    """Knows only whether there is a next page, from a single query of `per_page` + 1 rows; never counts.

    `page` raises EmptyPage for a page after the last. `shown` is the page that was read last.
    """

    template_name = "admin/pagination_no_count.html"
    shown: NoCountPage | None = None

    @cached_property
    def count(self) -> int:
        """A number larger than any list in place of the number of rows, which is not counted."""
        return 10**12

    def page(self, number: int | str) -> NoCountPage:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows = self.rows(first, first + self.per_page + 1)
        if not rows and number > 1:
            raise EmptyPage(self.error_messages["no_results"])
        self.shown = NoCountPage(rows[: self.per_page], number, self, more=len(rows) > self.per_page)
        return self.shown

    def rows(self, first: int, last: int) -> list[Any]:
        """The rows from the 0-based `first` up to `last`, without `last` itself."""
        return list(self.object_list[first:last])


class NoCountChangeList(ChangeList):
    """Shows no totals: `result_count` is the number of rows on this page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_count = self.full_result_count = len(self.result_list)


class NoCountMixin:
    """For a ModelAdmin of a long table: its list has next and previous pages, and no COUNT(*)."""

    paginator = NoCountPaginator
    show_full_result_count = False
    list_disable_select_all = True  # "select all N" would have to say N

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NoCountChangeList
