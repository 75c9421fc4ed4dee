"""Template filters that format figures. An unknown value is shown as unknown, never as 0."""

from decimal import Decimal

from django import template

from evaluations.choices import Status
from providers.reasons import Reason

register = template.Library()

NONE = "–"  # noqa: RUF001  (an en dash: nothing to show)


@register.filter
def rate(value: float | None) -> str:
    """Format a WER or CER (1.0 is 100 %) in percent; a dash for None."""
    return NONE if value is None else f"{value * 100:.1f}%"


@register.filter
def times(value: float | None) -> str:
    """Format an RTFx: seconds of audio per second of processing."""
    if value is None:
        return NONE
    return f"{value:.0f}x" if value >= 100 else f"{value:.1f}x"


@register.filter
def seconds(value: float | None) -> str:
    """Format a latency or the length of a clip; in seconds below one minute."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else duration(value)


@register.filter
def duration(value: float | None) -> str:
    """Format seconds as 42 s, 3 min 05 s, 10 min or 2 h 10 min."""
    if value is None:
        return NONE
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest:02d} s" if rest else "")
    return f"{minutes // 60} h" + (f" {minutes % 60:02d} min" if minutes % 60 else "")


@register.filter
def hours(value: float) -> str:
    """Format seconds of audio in hours, or in minutes or seconds where they are few."""
    if value < 3600:
        return duration(value)
    return f"{value / 3600:,.1f} h"


@register.filter
def usd(value: Decimal | None) -> str:
    """Format US dollars to the cent; small sums with more digits."""
    if value is None:
        return "unknown"
    if not value:
        return "$0.00"
    if value < Decimal("0.0001"):
        return "< $0.0001"
    cents, smaller = f"{value:,.4f}"[:-2], f"{value:,.4f}"[-2:]
    return f"${value:,.2f}" if value >= 1 else f"${cents}{smaller.rstrip('0')}"


@register.filter
def count(value: int) -> str:
    """Format a number in groups of three digits."""
    return f"{value:,}"


@register.filter
def percent_of(part: int, whole: int) -> float:
    """Return `part` of `whole` in percent, for the width of a bar; 0 where `whole` is 0."""
    return round(100 * part / whole, 2) if whole else 0


@register.filter
def bar_of_rate(value: float) -> float:
    """Return the width of a rate's bar in percent, at most 100."""
    return round(min(value, 1.0) * 100, 2)


@register.filter
def reason_label(code: str) -> str:
    """Return the text of a failure's code; the code itself where it is unknown."""
    return Reason(code).label if code in Reason.values else code


@register.filter
def status_label(status: str) -> str:
    """Return the label of a run's or job's status."""
    return Status(status).label
