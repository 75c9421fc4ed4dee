"""What calls cost."""

import time
from datetime import date
from decimal import Decimal

from gateway.usage.types import Outcome
from providers.models import SpeechModel
from providers.pricing import SMALLEST, PriceList, price_list

KEPT = 30.0  # seconds until a price that was changed holds here

_prices: dict[tuple[int, date], tuple[float, PriceList]] = {}


def cost_of(outcome: Outcome, on: date) -> Decimal | None:
    """US dollars by the prices of the day; None where they are not known, or what they are for is not.

    A call that no model served cost nothing. For the writer's thread alone.
    """
    if outcome.result == "lost":
        return None
    if outcome.model is None:
        return Decimal(0)
    prices = _prices_of(outcome.model, on)
    if outcome.characters is not None and (cost := prices.cost_of_characters(outcome.characters)) is not None:
        return cost.quantize(SMALLEST)
    return prices.cost_of_call(outcome.audio_seconds, outcome.input_tokens, outcome.output_tokens)


def forget() -> None:
    """Read all prices again."""
    _prices.clear()


def _prices_of(model: SpeechModel, on: date) -> PriceList:
    now = time.monotonic()
    read_at, prices = _prices.get((model.pk, on), (0.0, None))
    if prices is None or now - read_at > KEPT:
        prices = price_list(model, on)
        _prices[model.pk, on] = (now, prices)
    return prices
