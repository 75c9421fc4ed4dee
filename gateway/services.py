"""Services that change budgets and model aliases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts.models import ApiKey, Workspace
from core.errors import AlreadyExists, InvalidInput
from gateway.models import AliasTarget, Budget, ModelAlias
from providers.models import SpeechModel


@dataclass(frozen=True)
class AliasModel:
    """A model of an alias. `weight` only counts with the strategy `weighted`."""

    model: SpeechModel
    weight: int = 1


def create_budget(*, workspace: Workspace, monthly_usd: Decimal, api_key: ApiKey | None = None) -> Budget:
    """Create the budget of a workspace, or of one of its keys. Raises AlreadyExists if it has one."""
    try:
        with transaction.atomic():
            return Budget.objects.create(workspace=workspace, api_key=api_key, monthly_usd=monthly_usd)
    except IntegrityError as error:
        whose = "The workspace" if api_key is None else "This key"
        raise AlreadyExists(f"{whose} has a budget already: change that one.", field="api_key") from error


def change_budget(*, budget: Budget, monthly_usd: Decimal) -> None:
    """Change a budget. It applies to new reservations at once, and to authentication within seconds."""
    budget.monthly_usd = monthly_usd
    budget.save(update_fields=["monthly_usd"])


@transaction.atomic
def save_alias(
    *,
    alias: ModelAlias,
    targets: Sequence[AliasModel] | None = None,
) -> ModelAlias:
    """Create or change an alias. `targets`: its models in order; None leaves them unchanged.

    Raises AlreadyExists if the name is taken, InvalidInput if the models cannot replace each other.
    """
    if targets is not None and (problem := problem_of_targets(alias.workspace, [each.model for each in targets])):
        raise InvalidInput(problem, field="targets")
    try:
        with transaction.atomic():
            alias.save()
    except IntegrityError as error:
        raise AlreadyExists(f"There is an alias {alias.name!r} already.", field="name") from error
    if targets is not None:
        alias.targets.all().delete()
        AliasTarget.objects.bulk_create(
            AliasTarget(alias=alias, model=target.model, position=position, weight=target.weight)
            for position, target in enumerate(targets)
        )
    return alias


def problem_of_targets(workspace: Workspace, models: Iterable[SpeechModel]) -> str:
    """Say why these models cannot share an alias; empty if they can."""
    chosen = list(models)
    if not chosen:
        return "Name one model at least."
    if len({model.pk for model in chosen}) < len(chosen):
        return "Name each model once."
    if any(model.provider.workspace_id != workspace.pk for model in chosen):
        return "Name models of this workspace only."
    if not set.intersection(*(set(model.tasks) for model in chosen)):
        return "These models have no task in common: one cannot stand in for another."
    return ""
