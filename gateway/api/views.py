"""Usage, budgets and model aliases, over REST."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from accounts.api.permissions import access_of
from accounts.models import Role, Workspace
from core.api.pagination import OldestFirst
from gateway import services
from gateway.api.filters import UsageFilter
from gateway.api.serializers import (
    BudgetChangeSerializer,
    BudgetSerializer,
    ModelAliasChangeSerializer,
    ModelAliasSerializer,
    UsageSerializer,
    UsageSummarySerializer,
)
from gateway.exporting import usage_file
from gateway.models import Budget, ModelAlias, UsageRecord
from gateway.usage.budgets import month_of, with_spending
from gateway.usage.summary import Total
from providers.models import SpeechModel

NAMES = {"day": "day", "model": "name", "key": "caller"}  # columns of `totals_by`


class UsageViewSet(mixins.ListModelMixin, GenericViewSet[UsageRecord]):
    """Every call of the gateway, the newest first."""

    queryset = UsageRecord.objects.all()
    serializer_class = UsageSerializer
    filterset_class = UsageFilter
    action_roles = {"list": Role.EVALUATOR, "summary": Role.EVALUATOR, "export": Role.EVALUATOR}

    def get_queryset(self) -> QuerySet[UsageRecord]:
        if getattr(self, "swagger_fake_view", False):  # the schema is made with nobody asking
            return UsageRecord.objects.none()
        return UsageRecord.objects.for_workspace(access_of(self.request).workspace)

    @extend_schema(
        parameters=[OpenApiParameter("by", enum=list(NAMES), description="day where it is left out")],
        responses=UsageSummarySerializer,
    )
    def summary(self, request: Request) -> Response:
        """What the calls of a month come to, by day, by model or by key: this month, where none is named."""
        by = request.query_params.get("by", "day")
        if by not in NAMES:
            raise ValidationError({"by": [f"One of: {', '.join(NAMES)}."]})
        records: Any = self.filter_queryset(self.get_queryset())
        month = request.query_params.get("month")
        if not month:
            month = f"{timezone.now():%Y-%m}"
            records = records.in_month(month_of(timezone.now()))
        lines = [_total(line, by) for line in records.totals_by(by)]
        return Response(UsageSummarySerializer({"by": by, "month": month, "results": lines}).data)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def export(self, request: Request) -> HttpResponseBase:
        """The calls as a CSV file, oldest first; narrowed as the list is."""
        records: Any = self.filter_queryset(self.get_queryset())
        return usage_file(request._request, records)


def _total(line: dict[str, Any], by: str) -> dict[str, Any]:
    total = Total.of([line])
    shown = {"name": str(line[NAMES[by]]), **vars(total), "mean_latency": total.mean_latency}
    return shown | {"key_id": line["key_id"]} if by == "key" else shown


class BudgetViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, GenericViewSet[Budget]):
    """What the workspace, or a key of it, may spend in a calendar month (UTC)."""

    queryset = Budget.objects.all()
    serializer_class = BudgetSerializer
    pagination_class = OldestFirst
    filter_backends = []
    write_role = Role.OWNER
    action_roles = {"list": Role.EVALUATOR, "retrieve": Role.EVALUATOR}

    def get_queryset(self) -> QuerySet[Budget]:
        if getattr(self, "swagger_fake_view", False):
            return Budget.objects.none()
        budgets = Budget.objects.for_workspace(access_of(self.request).workspace).select_related("api_key")
        return with_spending(budgets, month_of(timezone.now()))

    def get_serializer_context(self) -> dict[str, Any]:
        access = self.request.auth if self.request else None
        return {**super().get_serializer_context(), "workspace": getattr(access, "workspace", None)}

    def create(self, request: Request) -> Response:
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        made = services.create_budget(workspace=access_of(request).workspace, **body.validated_data)
        return Response(
            self.get_serializer(self.get_queryset().get(pk=made.pk)).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("budget-detail", args=[made.pk])},
        )

    @extend_schema(request=BudgetChangeSerializer, responses=BudgetSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        budget = self.get_object()
        body = BudgetChangeSerializer(budget, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        services.change_budget(budget=budget, monthly_usd=body.validated_data.get("monthly_usd", budget.monthly_usd))
        return Response(self.get_serializer(budget).data)


class ModelAliasViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, GenericViewSet[ModelAlias]
):
    """Names under which several models can be asked for."""

    queryset = ModelAlias.objects.all()
    serializer_class = ModelAliasSerializer
    pagination_class = OldestFirst
    filter_backends = []
    write_role = Role.OWNER

    def get_queryset(self) -> QuerySet[ModelAlias]:
        if getattr(self, "swagger_fake_view", False):
            return ModelAlias.objects.none()
        return ModelAlias.objects.for_workspace(access_of(self.request).workspace).with_targets()

    def create(self, request: Request) -> Response:
        body = self.get_serializer(data=request.data)
        alias = self._save(ModelAlias(workspace=access_of(request).workspace), body)
        return Response(
            self.get_serializer(alias).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("alias-detail", args=[alias.pk])},
        )

    @extend_schema(request=ModelAliasChangeSerializer, responses=ModelAliasSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        body = ModelAliasChangeSerializer(data=request.data)
        return Response(self.get_serializer(self._save(self.get_object(), body)).data)

    def _save(self, alias: ModelAlias, body: BaseSerializer[ModelAlias]) -> ModelAlias:
        body.is_valid(raise_exception=True)
        fields = dict(body.validated_data)
        named = fields.pop("targets", None)
        for name, value in fields.items():
            setattr(alias, name, value)
        targets = None if named is None else _targets(alias.workspace, named)
        services.save_alias(alias=alias, targets=targets)
        return self.get_queryset().get(pk=alias.pk)


def _targets(workspace: Workspace, named: Sequence[dict[str, Any]]) -> list[services.AliasModel]:
    """The models of the workspace by their public names. Raises ValidationError for one that is not there."""
    found = []
    for target in named:
        name = target["model"]["public_name"]
        model = SpeechModel.objects.for_workspace(workspace).named(name).select_related("provider").first()
        if model is None:
            raise ValidationError({"targets": [f"There is no model {name!r}."]})
        found.append(services.AliasModel(model, target["weight"]))
    return found
