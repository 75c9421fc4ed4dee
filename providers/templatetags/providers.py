"""What the templates of providers need."""

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def of(values: Mapping[str, list[Any]], name: str) -> list[Any]:
    """The values of that name; none where there is none."""
    return values.get(name, [])
