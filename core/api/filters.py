"""Filters that lists of several rooms use."""

from typing import Any

from django_filters import rest_framework as filters

from core.text import LARGEST_ID


class IdFilter(filters.NumberFilter):
    """Rows that refer to the row of an id; what no id can be is refused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=LARGEST_ID, decimal_places=0, **kwargs)
