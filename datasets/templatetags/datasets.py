"""What templates need to show audio."""

import base64

from django import template

register = template.Library()


@register.filter
def waveform(peaks: bytes | memoryview | None) -> str:
    """Stored peaks, base64, as the player reads them; empty where there are none."""
    return base64.b64encode(bytes(peaks)).decode() if peaks else ""


@register.filter
def clock(seconds: float) -> str:
    """Seconds as m:ss.s, or h:mm:ss from an hour on."""
    if seconds >= 3600:
        whole = round(seconds)
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


@register.filter
def thousands(value: int) -> str:
    """A number in groups of three digits."""
    return f"{value:,}"
