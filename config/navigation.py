"""The admin's side bar."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's navigation for what this request's role may open."""
    access = getattr(request, "access", None)
    if not access:
        return []

    def item(title: str, icon: str, view: str) -> dict[str, Any]:
        return {"title": title, "icon": icon, "link": reverse(f"admin:{view}")}

    return [
        {
            "title": "Evaluate",
            "items": [
                item("Dashboard", "home", "index"),
                item("Datasets", "library_music", "datasets_dataset_changelist"),
                item("Samples", "graphic_eq", "datasets_sample_changelist"),
                item("Imports", "upload_file", "datasets_import_changelist"),
                item("Runs", "play_circle", "evaluations_run_changelist"),
                item("Results", "subtitles", "evaluations_result_changelist"),
            ],
        },
        {
            "title": "Models",
            "items": [
                item("Providers", "cloud", "providers_provider_changelist"),
                item("Speech models", "record_voice_over", "providers_speechmodel_changelist"),
            ],
        },
        {
            "title": "Access",
            "items": [
                item("API keys", "key", "accounts_apikey_changelist"),
                item("Members", "group", "accounts_membership_changelist"),
                item("Users", "person", "accounts_user_changelist"),
                item("Workspaces", "workspaces", "accounts_workspace_changelist"),
            ],
        },
    ]
