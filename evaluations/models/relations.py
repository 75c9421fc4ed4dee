"""Rows that refer back to a model, for conditions on them."""

from typing import Any

from django.apps import apps
from django.db import models


def rows_of(queryset: models.QuerySet[Any], relation: str) -> Any:
    """The QuerySet of the rows that refer back by `relation`: models cannot be imported here, they import this."""
    related = queryset.model._meta.get_field(relation).related_model
    return apps.get_model(related._meta.label).objects.all()
