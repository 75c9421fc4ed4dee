from django.urls import path

from providers.api.views import KindListView, ProviderViewSet, SpeechModelViewSet

urlpatterns = [
    path("models/", SpeechModelViewSet.as_view({"get": "list"}), name="model-list"),
    path(
        "models/<int:pk>/",
        SpeechModelViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="model-detail",
    ),
    path(
        "models/<int:pk>/prices/",
        SpeechModelViewSet.as_view({"get": "prices", "post": "set_price"}),
        name="model-prices",
    ),
    path("provider-kinds/", KindListView.as_view(), name="provider-kind-list"),
    path("providers/", ProviderViewSet.as_view({"get": "list", "post": "create"}), name="provider-list"),
    path(
        "providers/<int:pk>/",
        ProviderViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="provider-detail",
    ),
    path("providers/<int:pk>/test/", ProviderViewSet.as_view({"post": "test"}), name="provider-test"),
    path(
        "providers/<int:pk>/upstream-models/",
        ProviderViewSet.as_view({"get": "upstream_models"}),
        name="provider-upstream-models",
    ),
    path("providers/<int:pk>/models/", ProviderViewSet.as_view({"post": "add_models"}), name="provider-models"),
]
