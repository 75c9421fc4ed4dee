from typing import Any

from django.urls import path

from accounts.api.views import ApiKeyViewSet

MANY: dict[str, Any] = {"get": "list", "post": "create"}
ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("keys/", ApiKeyViewSet.as_view(MANY), name="key-list"),
    path("keys/<int:pk>/", ApiKeyViewSet.as_view(ONE), name="key-detail"),
]
