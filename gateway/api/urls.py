from typing import Any

from django.urls import path

from gateway.api.views import BudgetViewSet, ModelAliasViewSet, UsageViewSet
from gateway.api.voice import PipelineViewSet, RealtimeSessionViewSet

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
    path("pipelines/", PipelineViewSet.as_view(MANY), name="pipeline-list"),
    path("pipelines/<int:pk>/", PipelineViewSet.as_view(ONE), name="pipeline-detail"),
    path("sessions/", RealtimeSessionViewSet.as_view({"get": "list"}), name="session-list"),
    path("sessions/<int:pk>/", RealtimeSessionViewSet.as_view({"get": "retrieve"}), name="session-detail"),
    path("sessions/<int:pk>/turns/", RealtimeSessionViewSet.as_view({"get": "turns"}), name="session-turns"),
]
