"""Budgets, with what of them is spent this month."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.admin_base import WorkspaceAdmin, access_of
from accounts.models import ApiKey, Role, Workspace
from core.forms import ModelForm
from gateway.figures import NONE, usd
from gateway.models import Budget
from gateway.services import change_budget, create_budget
from gateway.usage.budgets import month_of, with_spending


class NewBudgetForm(ModelForm[Budget]):
    workspace: Workspace  # set by the admin, for the one who asks

    class Meta:
        model = Budget
        fields = ["api_key", "monthly_usd"]

    def clean_api_key(self) -> ApiKey | None:
        api_key: ApiKey | None = self.cleaned_data["api_key"]
        if Budget.objects.for_workspace(self.workspace).filter(api_key=api_key).exists():
            whose = "This key" if api_key else "The workspace"
            raise ValidationError(f"{whose} has a budget already: change that one.")
        return api_key


@admin.register(Budget)
class BudgetAdmin(WorkspaceAdmin):
    view_role = Role.EVALUATOR
    add_role = change_role = delete_role = Role.OWNER
    list_display = ["whose", "monthly", "spent", "held", "unknown_costs"]
    list_select_related = ["api_key"]
    list_before_template = "admin/gateway/budget/_about.html"
    empty_text = "Without a budget, spending has no limit."
    fields = ["api_key", "monthly_usd"]

    class Media:
        css = {"all": ["gateway/gateway.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        return with_spending(super().get_queryset(request), month_of(timezone.now()))

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> list[str]:
        return ["api_key"] if obj else []

    def get_form(self, request: HttpRequest, obj: Budget | None = None, **kwargs: Any) -> Any:
        if obj:
            return super().get_form(request, obj, **kwargs)
        form = super().get_form(request, obj, **{**kwargs, "form": NewBudgetForm})
        access = access_of(request)
        if access:
            form.workspace = access.workspace
        return form

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        if change:
            change_budget(budget=obj, monthly_usd=obj.monthly_usd)
            return
        made = create_budget(workspace=form.workspace, api_key=obj.api_key, monthly_usd=obj.monthly_usd)
        obj.pk, obj.workspace = made.pk, made.workspace

    @display(description="Of", ordering="api_key__name")
    def whose(self, budget: Budget) -> str:
        return f"Key “{budget.api_key.name}”" if budget.api_key else "The whole workspace"

    @display(description="A month", ordering="monthly_usd")
    def monthly(self, budget: Budget) -> str:
        return usd(budget.monthly_usd)

    @display(description="Spent")
    def spent(self, budget: Any) -> SafeString:
        share = float(100 * budget.spent_usd / budget.monthly_usd) if budget.monthly_usd else 100.0
        tone = "gw-bar-bad" if share >= 100 else "gw-bar-warn" if share >= 80 else "gw-bar-good"
        return format_html(
            '<span class="gw-progress"><span class="gw-bar" aria-hidden="true"><span class="{}" style="width:{}%">'
            '</span></span><span class="gw-num">{} ({}%)</span></span>',
            tone,
            f"{min(share, 100):.1f}",
            usd(budget.spent_usd),
            f"{share:,.0f}",
        )

    @display(description="Held")
    def held(self, budget: Any) -> str:
        return usd(budget.reserved_usd) if budget.reserved_usd > 0 else NONE

    @display(description="Unknown costs")
    def unknown_costs(self, budget: Any) -> str:
        return f"{budget.unknown:,}" if budget.unknown else NONE
