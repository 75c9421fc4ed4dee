"""How figures are written on the gateway's screens. What is not known is a dash or said to be unknown, never 0."""

from decimal import Decimal

NONE = "–"  # noqa: RUF001  (an en dash: nothing to show)


def usd(value: Decimal | None) -> str:
    """US dollars to the cent; below a dollar to a hundredth of one, below a cent as small as one call may be."""
    if value is None:
        return "unknown"
    if value >= 1:
        return f"${value:,.2f}"
    digits = f"{value:.4f}" if value >= Decimal("0.01") else f"{value:.6f}"
    return f"${digits[:4]}{digits[4:].rstrip('0')}"


def seconds(value: float | None) -> str:
    """A latency or the length of a clip."""
    if value is None:
        return NONE
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:,.1f} s"


def length(value: float | None) -> str:
    """Audio of many calls together."""
    if not value:
        return NONE
    if value < 60:
        return f"{value:.0f} s"
    return f"{value / 60:,.0f} min" if value < 3600 else f"{value / 3600:,.1f} h"


def some(value: int | None) -> str:
    """A number of things where there are any."""
    return count(value) if value else NONE


def count(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"
