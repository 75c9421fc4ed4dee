from django.urls import path

from evaluations.api.views import ResultViewSet, RunResultsViewSet, RunViewSet

runs = RunViewSet.as_view

urlpatterns = [
    path("runs/", runs({"get": "list", "post": "create"}), name="run-list"),
    path("runs/<int:pk>/", runs({"get": "retrieve", "delete": "destroy"}), name="run-detail"),
    path("runs/<int:pk>/cancel/", runs({"post": "cancel"}), name="run-cancel"),
    path("runs/<int:pk>/retry/", runs({"post": "retry"}), name="run-retry"),
    path("runs/<int:pk>/collect/", runs({"post": "collect"}), name="run-collect"),
    path("runs/<int:pk>/rescore/", runs({"post": "rescore"}), name="run-rescore"),
    path("runs/<int:pk>/leaderboard/", runs({"get": "leaderboard"}), name="run-leaderboard"),
    path("runs/<int:pk>/events/", runs({"get": "events"}), name="run-events"),
    path("runs/<int:pk>/export/", runs({"get": "export"}), name="run-export"),
    path("runs/<int:pk>/results/", RunResultsViewSet.as_view({"get": "list"}), name="run-results"),
    path("results/<int:pk>/", ResultViewSet.as_view({"get": "retrieve"}), name="result-detail"),
    path("results/<int:pk>/alignment/", ResultViewSet.as_view({"get": "alignment"}), name="result-alignment"),
    path("results/<int:pk>/audio/", ResultViewSet.as_view({"get": "audio"}), name="result-audio"),
]
