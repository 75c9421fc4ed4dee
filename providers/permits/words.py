"""Why a provider takes no calls now, for a person."""

from collections.abc import Collection
from datetime import datetime

from django.utils import timezone

from providers.models import Gate, Provider


def why_closed(provider_ids: Collection[int | None]) -> dict[int | None, list[str]]:
    """By provider, where its gate is closed: one sentence. One query."""
    now = timezone.now()
    gates = Gate.objects.filter(pk__in=[pk for pk in provider_ids if pk]).select_related("provider")
    return {gate.pk: [why] for gate in gates if (why := _in_words(gate, now))}


def why_waiting(provider: Provider) -> str:
    """Why no call to the provider may begin now; empty where one may."""
    gate = getattr(provider, "gate", None)  # it has none before its first call
    return _in_words(gate, timezone.now()) if gate else ""


def _in_words(gate: Gate, now: datetime) -> str:
    end = gate.closed_until(now)
    if end is None and not gate.pauses:
        return ""
    clock = f"{timezone.localtime(end):%H:%M:%S}" if end else ""
    if gate.held_until == end and end is not None:
        return f"{gate.provider.name} asked to wait until {clock}: {gate.message}"
    what = f"paused until {clock}, then tried again" if clock else "being tried again"
    return f"{gate.provider.name} failed again and again, and is {what}: {gate.message}"
