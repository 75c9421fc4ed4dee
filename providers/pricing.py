"""What calls cost."""

from datetime import date
from decimal import Decimal

from providers.models import Price, SpeechModel


def cost_of_audio(model: SpeechModel, seconds: float, on: date) -> Decimal | None:
    """US dollars for `seconds` of audio at the price of that day; None where it is not known."""
    price = Price.objects.in_force(on).filter(model=model, unit=Price.Unit.AUDIO_MINUTE).first()
    return None if price is None else price.usd * Decimal(seconds) / 60
