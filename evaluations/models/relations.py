"""Finds the QuerySet of a reverse relation, for conditions in subqueries."""

from typing import Any

from django.apps import apps
from django.db import models


def rows_of(queryset: models.QuerySet[Any], relation: str) -> Any:
    """Return all rows of the reverse `relation` of the model; by name, since those models import this module."""
    related = queryset.model._meta.get_field(relation).related_model
    return apps.get_model(related._meta.label).objects.all()
