"""Markup that lists and pages share. No state is shown by colour alone."""

from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from evaluations.templatetags.figures import percent_of


def status_pill(status: str, label: str) -> SafeString:
    """Show the state of a run, job or result as a word with a sign."""
    return format_html('<span class="ev-pill ev-{}">{}</span>', status, label)


def run_bar(run: Any) -> SafeString:
    """Show the progress of `run` (`with_counts`): a bar with failed and cancelled parts, and the numbers."""
    return format_html(
        '<span class="ev-progress"><span class="ev-bar" aria-hidden="true"><span class="ev-bar-good" '
        'style="width:{}%"></span><span class="ev-bar-bad" style="width:{}%"></span>'
        '<span class="ev-bar-off" style="width:{}%"></span></span><span class="ev-num">{}/{}</span></span>',
        percent_of(run.completed_count, run.total_count),
        percent_of(run.failed_count, run.total_count),
        percent_of(run.cancelled_count, run.total_count),
        f"{run.completed_count + run.failed_count + run.cancelled_count:,}",
        f"{run.total_count:,}",
    )


def chips(words: list[str]) -> SafeString:
    inner = format_html_join("", '<span class="ev-chip" title="{}">{}</span>', ((word, word) for word in words))
    return format_html('<span class="ev-chips">{}</span>', inner)
