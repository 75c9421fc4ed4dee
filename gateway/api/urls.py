from typing import Any

from django.urls import path

from gateway.api.views import BudgetViewSet, ModelAliasViewSet, UsageViewSet

ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
MANY: dict[str, Any] = {"get": "list", "post": "create"}

urlpatterns = [
    path("usage/", UsageViewSet.as_view({"get": "list"}), name="usage-list"),
    path("usage/summary/", UsageViewSet.as_view({"get": "summary"}), name="usage-summary"),
    path("usage/export/", UsageViewSet.as_view({"get": "export"}), name="usage-export"),
    path("budgets/", BudgetViewSet.as_view(MANY), name="budget-list"),
    path("budgets/<int:pk>/", BudgetViewSet.as_view(ONE), name="budget-detail"),
    path("aliases/", ModelAliasViewSet.as_view(MANY), name="alias-list"),
    path("aliases/<int:pk>/", ModelAliasViewSet.as_view(ONE), name="alias-detail"),
]
