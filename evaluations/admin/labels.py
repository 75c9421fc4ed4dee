"""Small pieces of markup that lists and pages share. Every colour comes with a word or a sign."""

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from evaluations.templatetags.figures import percent_of


def status_pill(status: str, label: str) -> SafeString:
    """The state of a run, job or result, as a word with a sign."""
    return format_html('<span class="ev-pill ev-{}">{}</span>', status, label)


def progress_bar(done: int, failed: int, total: int) -> SafeString:
    """`done` of `total` (of which `failed`) as a bar with its numbers beside it."""
    return format_html(
        '<span class="ev-progress"><span class="ev-bar" aria-hidden="true"><span class="ev-bar-good" '
        'style="width:{}%"></span><span class="ev-bar-bad" style="width:{}%"></span></span>'
        '<span class="ev-num">{}/{}</span></span>',
        percent_of(done - failed, total),
        percent_of(failed, total),
        f"{done:,}",
        f"{total:,}",
    )


def chips(words: list[str]) -> SafeString:
    return format_html_join(" ", '<span class="ev-chip">{}</span>', ((word,) for word in words))
