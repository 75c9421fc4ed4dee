"""Filters of the result list. Their choices come from runs, jobs and enums: none of them reads the results."""

from django.http import HttpRequest

RECENT_RUNS = 200


def run_of(request: HttpRequest) -> int | None:
    """The run that the list is of; None where it is of all of them."""
    run = request.GET.get("run", "")
    return int(run) if run.isdecimal() else None
