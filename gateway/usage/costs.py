"""The cost of a call, by cached prices."""

import time
from datetime import date
from decimal import Decimal

from gateway.usage.types import Outcome
from providers.models import SpeechModel
from providers.pricing import SMALLEST, PriceList, price_list

KEPT = 30.0  # seconds that prices are cached

_prices: dict[tuple[int, date], tuple[float, PriceList]] = {}


def cost_of(outcome: Outcome, on: date) -> Decimal | None:
    """Return the cost of a call in US dollars by the prices of the day `on`; None if a price or the measured quantity
    is unknown. A call that no model served costs 0. Not thread-safe: for the writer's thread.
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
    """Clear the cached prices."""
    _prices.clear()


def _prices_of(model: SpeechModel, on: date) -> PriceList:
    now = time.monotonic()
    read_at, prices = _prices.get((model.pk, on), (0.0, None))
    if prices is None or now - read_at > KEPT:
        prices = price_list(model, on)
        _prices[model.pk, on] = (now, prices)
    return prices
