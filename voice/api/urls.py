from typing import Any

from django.urls import path

from voice.api.views import PipelineViewSet, RealtimeSessionViewSet

ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
MANY: dict[str, Any] = {"get": "list", "post": "create"}

urlpatterns = [
    path("pipelines/", PipelineViewSet.as_view(MANY), name="pipeline-list"),
    path("pipelines/<int:pk>/", PipelineViewSet.as_view(ONE), name="pipeline-detail"),
    path("sessions/", RealtimeSessionViewSet.as_view({"get": "list"}), name="session-list"),
    path("sessions/<int:pk>/", RealtimeSessionViewSet.as_view({"get": "retrieve"}), name="session-detail"),
    path("sessions/<int:pk>/turns/", RealtimeSessionViewSet.as_view({"get": "turns"}), name="session-turns"),
]
