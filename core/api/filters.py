"""Filters that REST lists of several apps share."""

from typing import Any

from django_filters import rest_framework as filters

from core.text import LARGEST_ID


class IdFilter(filters.NumberFilter):
    """Filters by the id of a related row; refuses values that cannot be an id."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=LARGEST_ID, decimal_places=0, **kwargs)
