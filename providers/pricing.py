"""What calls cost, by dated prices. What is not known is None, never 0."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from providers.models import Price, SpeechModel

MILLION = Decimal(1_000_000)
BATCH_SHARE = Decimal("0.5")  # batches cost half
SMALLEST = Decimal("1e-8")  # as costs are stored: sums of what is shown are what is shown as their sum


@dataclass(frozen=True)
class PriceList:
    """A model's prices on one day, US dollars a unit."""

    usd: dict[str, Decimal]

    def cost_of_audio(self, seconds: float) -> Decimal | None:
        """Where the model is paid by the minute."""
        price = self.usd.get(Price.Unit.AUDIO_MINUTE)
        return None if price is None else price * Decimal(seconds) / 60

    def cost_of_tokens(self, input_tokens: int | None, output_tokens: int | None) -> Decimal | None:
        """Where the model is paid by the token."""
        read, written = self.usd.get(Price.Unit.INPUT_TOKENS), self.usd.get(Price.Unit.OUTPUT_TOKENS)
        if read is None or written is None or input_tokens is None or output_tokens is None:
            return None
        return (read * input_tokens + written * output_tokens) / MILLION

    def cost_of_characters(self, characters: int) -> Decimal | None:
        """Where the model is paid by the characters that it speaks."""
        price = self.usd.get(Price.Unit.CHARACTERS)
        return None if price is None else price * characters / MILLION

    def cost_of_call(
        self, seconds: float | None, input_tokens: int | None, output_tokens: int | None, *, batch: bool = False
    ) -> Decimal | None:
        """Of one sample's audio, by whichever price there is."""
        cost = None if seconds is None else self.cost_of_audio(seconds)
        if cost is None:
            cost = self.cost_of_tokens(input_tokens, output_tokens)
        if cost is None:
            return None
        return (cost * BATCH_SHARE if batch else cost).quantize(SMALLEST)


def price_list(model: SpeechModel, on: date) -> PriceList:
    """The newest price of each unit that is in force on that day."""
    return PriceList({price.unit: price.usd for price in Price.objects.in_force(on).filter(model=model).reverse()})


def cost_of_audio(model: SpeechModel, seconds: float, on: date, *, batch: bool = False) -> Decimal | None:
    """US dollars for `seconds` of audio before it is sent: by the minute, or by the tokens that it comes to.

    A model that is paid by the token says in its options how many a second of audio comes to (`input_tokens_a_second`,
    `output_tokens_a_second`, the latter by experience); None without that.
    """
    prices = price_list(model, on)
    tokens = [model.options.get(f"{side}_tokens_a_second") for side in ("input", "output")]
    read, written = [None if rate is None else round(rate * seconds) for rate in tokens]
    return prices.cost_of_call(seconds, read, written, batch=batch)
