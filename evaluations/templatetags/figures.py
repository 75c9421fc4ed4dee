"""How figures are written on the screens. What is not known is said to be unknown, never shown as 0."""

from decimal import Decimal

from django import template

from evaluations.choices import Status
from providers.reasons import Reason

register = template.Library()

NONE = "–"  # noqa: RUF001  (an en dash: nothing to show)


@register.filter
def rate(value: float | None) -> str:
    """A WER or CER (1.0 is 100 %) in percent; a dash where there is none."""
    return NONE if value is None else f"{value * 100:.1f}%"


@register.filter
def times(value: float | None) -> str:
    """RTFx: seconds of audio a second of processing."""
    if value is None:
        return NONE
    return f"{value:.0f}x" if value >= 100 else f"{value:.1f}x"


@register.filter
def seconds(value: float | None) -> str:
    """A latency or a clip's length, in seconds below one minute."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else duration(value)


@register.filter
def duration(value: float | None) -> str:
    """A span of time to the second: 42 s, 3 min 05 s, 10 min, 2 h 10 min."""
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
    """Seconds of audio in hours; minutes or seconds where that says more."""
    if value < 3600:
        return duration(value)
    return f"{value / 3600:,.1f} h"


@register.filter
def usd(value: Decimal | None) -> str:
    """US dollars to the cent; small sums with as many digits as say something."""
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
    """A number of things, in groups of three digits."""
    return f"{value:,}"


@register.filter
def percent_of(part: int, whole: int) -> float:
    """`part` of `whole` in percent, for the width of a bar; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0


@register.filter
def bar_of_rate(value: float) -> float:
    """The width of a rate's bar in percent: full from 100 % on."""
    return round(min(value, 1.0) * 100, 2)


@register.filter
def reason_label(code: str) -> str:
    """What a failure's code tells a person; the code alone where it is not one of ours."""
    return Reason(code).label if code in Reason.values else code


@register.filter
def status_label(status: str) -> str:
    """The state of a run or a job in words."""
    return Status(status).label
