"""What each kind of provider offers when it is set up. Staff may edit all of it afterwards."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from providers.adapters.local import ESPEAK, MAX_SECONDS, POCKETSPHINX
from providers.models import Price


@dataclass(frozen=True)
class CatalogueModel:
    """Fields of a SpeechModel, with its prices: from a day on, US dollars a unit."""

    name: str
    fields: dict[str, Any]
    prices: dict[date, dict[Price.Unit, Decimal]] = field(default_factory=dict)


IN_2026, IN_2027 = date(2026, 1, 1), date(2027, 1, 1)
FREE = {IN_2026: {Price.Unit.AUDIO_MINUTE: Decimal(0)}}


# Measured: 32 tokens a second of audio are read; some 4 a second are written, at a usual pace of speech.
TOKENS = {"input_tokens_a_second": 32, "output_tokens_a_second": 4}


def _a_million_tokens(read: str, written: str) -> dict[Price.Unit, Decimal]:
    return {Price.Unit.INPUT_TOKENS: Decimal(read), Price.Unit.OUTPUT_TOKENS: Decimal(written)}


CATALOGUE: dict[str, list[CatalogueModel]] = {
    "local": [
        CatalogueModel(
            name="pocketsphinx",
            fields={
                "upstream_name": POCKETSPHINX,
                "speech_to_text": True,
                "languages": ["en"],
                "max_audio_seconds": MAX_SECONDS,
            },
            prices=FREE,
        ),
        CatalogueModel(
            name="pocketsphinx-fast",
            fields={
                "upstream_name": POCKETSPHINX,
                "speech_to_text": True,
                "languages": ["en"],
                "max_audio_seconds": MAX_SECONDS,
                "options": {"ds": 2, "maxhmmpf": 3000, "maxwpf": 5},
            },
            prices=FREE,
        ),
        CatalogueModel(
            name="espeak-ng",
            fields={"upstream_name": ESPEAK, "text_to_speech": True, "options": {"voice": "en-us"}},
            prices=FREE,
        ),
    ],
    # As announced; staff enter later prices with their day.
    "gemini": [
        CatalogueModel(
            name="gemini-3.8-flash",
            fields={
                "upstream_name": "gemini-3.8-flash",
                "speech_to_text": True,
                "supports_batch": True,
                "max_audio_seconds": 9.5 * 3600,
                "options": TOKENS,
            },
            prices={IN_2026: _a_million_tokens("0.75", "3.75"), IN_2027: _a_million_tokens("1.50", "7.50")},
        ),
        CatalogueModel(
            name="gemini-3.5-transcribe",
            fields={
                "upstream_name": "gemini-3.5-transcribe",
                "speech_to_text": True,
                "max_audio_seconds": 9.5 * 3600,
            },
            prices={IN_2026: {Price.Unit.AUDIO_MINUTE: Decimal("0.003")}},
        ),
    ],
}
