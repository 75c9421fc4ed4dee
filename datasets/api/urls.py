from typing import Any

from django.urls import path

from datasets.api.views import (
    DatasetViewSet,
    ExportView,
    ImportListViewSet,
    ImportViewSet,
    ProblemListViewSet,
    RevisionListViewSet,
    SampleAudioView,
    SampleListViewSet,
    SampleViewSet,
)

LIST: dict[str, Any] = {"get": "list"}
LIST_AND_CREATE: dict[str, Any] = {"get": "list", "post": "create"}
ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("datasets/", DatasetViewSet.as_view(LIST_AND_CREATE), name="dataset-list"),
    path("datasets/<int:pk>/", DatasetViewSet.as_view(ONE), name="dataset-detail"),
    path("datasets/<int:dataset_id>/samples/", SampleListViewSet.as_view(LIST_AND_CREATE), name="dataset-samples"),
    path("datasets/<int:dataset_id>/imports/", ImportListViewSet.as_view(LIST_AND_CREATE), name="dataset-imports"),
    path("datasets/<int:dataset_id>/export/", ExportView.as_view(), name="dataset-export"),
    path("samples/<int:pk>/", SampleViewSet.as_view(ONE), name="sample-detail"),
    path("samples/<int:sample_id>/revisions/", RevisionListViewSet.as_view(LIST), name="sample-revisions"),
    path("samples/<int:pk>/audio/", SampleAudioView.as_view(), name="sample-audio"),
    path("imports/<int:pk>/", ImportViewSet.as_view({"get": "retrieve"}), name="import-detail"),
    path("imports/<int:import_id>/problems/", ProblemListViewSet.as_view(LIST), name="import-problems"),
]
