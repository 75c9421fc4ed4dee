from django.urls import path

from providers.api.views import ProviderViewSet, SpeechModelViewSet

urlpatterns = [
    path("models/", SpeechModelViewSet.as_view({"get": "list"}), name="model-list"),
    path("providers/", ProviderViewSet.as_view({"get": "list", "post": "create"}), name="provider-list"),
    path(
        "providers/<int:pk>/",
        ProviderViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="provider-detail",
    ),
    path("providers/<int:pk>/test/", ProviderViewSet.as_view({"post": "test"}), name="provider-test"),
]
