"""Builds the admin's side bar."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User, Workspace

# Group -> (title, icon, model, and its page if not the list). The side bar does not escape titles: never put user
# input there.
LISTS: dict[str, list[tuple[str, ...]]] = {
    "Evaluate": [
        ("Datasets", "library_music", "datasets.Dataset"),
        ("Samples", "graphic_eq", "datasets.Sample"),
        ("Imports", "upload_file", "datasets.Import"),
        ("Runs", "play_circle", "evaluations.Run"),
        ("Results", "subtitles", "evaluations.Result"),
    ],
    "Models": [
        ("Providers", "cloud", "providers.Provider"),
        ("Speech models", "record_voice_over", "providers.SpeechModel"),
    ],
    "Gateway": [
        ("Usage", "monitoring", "gateway.UsageRecord", "summary"),
        ("Calls", "list_alt", "gateway.UsageRecord"),
        ("Budgets", "savings", "gateway.Budget"),
        ("Model aliases", "alt_route", "gateway.ModelAlias"),
        ("Talk", "mic", "voice.VoicePipeline", "talk"),
        ("Voice pipelines", "settings_voice", "voice.VoicePipeline"),
        ("Voice sessions", "forum", "voice.RealtimeSession"),
    ],
    "Access": [
        ("API keys", "key", "accounts.ApiKey"),
        ("Members", "group", "accounts.Membership"),
        ("Users", "person", "accounts.User"),
        ("Organizations", "domain", "accounts.Organization"),
        ("Workspaces", "workspaces", "accounts.Workspace"),
    ],
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return Unfold's navigation: the lists that the request's role may open."""
    groups: list[dict[str, Any]] = [
        {"title": title, "items": [_item(*entry) for entry in entries if _may_open(entry[2], request)]}
        for title, entries in LISTS.items()
    ]
    _mark_current([item for group in groups for item in group["items"]], request.path)
    start = [{"title": "Dashboard", "icon": "home", "link": reverse("admin:index")}]
    if _has_choice(request):
        link = reverse("admin:accounts_workspace_switch")
        start.append({"title": "Switch workspace", "icon": "swap_horiz", "link": link})
    return [{"items": start}, *(group for group in groups if group["items"])]


def _item(title: str, icon: str, label: str, page: str = "changelist") -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{label.lower().replace('.', '_')}_{page}")}


def _mark_current(items: list[dict[str, Any]], path: str) -> None:
    """Mark the item whose link is the longest prefix of `path` as active."""
    here = max((item["link"] for item in items if path.startswith(item["link"])), key=len, default=None)
    for item in items:
        item["active"] = item["link"] == here


def _may_open(label: str, request: HttpRequest) -> bool:
    return admin.site.get_model_admin(apps.get_model(label)).has_view_permission(request)


def _has_choice(request: HttpRequest) -> bool:
    """Return whether the user can switch between several workspaces."""
    return isinstance(request.user, User) and Workspace.objects.open_to(request.user).active()[:2].count() > 1
