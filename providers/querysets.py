"""Reads of providers, by their business names."""

from datetime import date
from typing import TYPE_CHECKING, Self

from django.db import models

from accounts.querysets import WorkspaceOwnedQuerySet

if TYPE_CHECKING:
    from accounts.models import Workspace
    from providers.models import Price, SpeechModel  # noqa: F401


class ProviderQuerySet(WorkspaceOwnedQuerySet):
    def with_models(self) -> Self:
        """With their models, and what holds calls back."""
        return self.select_related("gate").prefetch_related("models")


class PriceQuerySet(models.QuerySet["Price"]):
    def in_force(self, on: date) -> Self:
        """Prices that have begun by that day, the latest first: the first of a model and unit is the one that holds."""
        return self.filter(valid_from__lte=on).order_by("-valid_from")


class SpeechModelQuerySet(models.QuerySet["SpeechModel"]):
    def for_workspace(self, workspace: "Workspace") -> Self:
        return self.filter(provider__workspace=workspace)

    def usable(self) -> Self:
        """Models that may be used for new work: neither they nor their provider are switched off."""
        return self.filter(is_active=True, provider__is_active=True).select_related("provider")

    def with_prices(self) -> Self:
        """With all prices of each model, past and future ones too, for `SpeechModel.prices_on`."""
        return self.prefetch_related("prices")

    def named(self, public_name: str) -> Self:
        """The model of a public name, provider/name; none where it is not of that form."""
        provider, _, name = public_name.partition("/")
        return self.filter(provider__name=provider, name=name)
