"""What calls cost, by dated prices."""

from datetime import date
from decimal import Decimal

from providers.models import Price, SpeechModel


def cost_of_audio(model: SpeechModel, seconds: float, on: date) -> Decimal | None:
    """US dollars for `seconds` of audio at the price of that day; None where no price a minute is known for it."""
    price = model.prices.filter(unit=Price.Unit.AUDIO_MINUTE, valid_from__lte=on).order_by("-valid_from").first()
    return None if price is None else price.usd * Decimal(str(seconds)) / 60
