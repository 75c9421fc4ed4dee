"""What each kind of provider offers when it is set up. Staff may edit all of it afterwards."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from providers.adapters.local import ESPEAK, MAX_SECONDS, POCKETSPHINX
from providers.models import Price


@dataclass(frozen=True)
class CatalogueModel:
    """Fields of a SpeechModel, with its prices per unit in US dollars from `priced_from` on."""

    name: str
    fields: dict[str, Any]
    prices: dict[Price.Unit, Decimal] = field(default_factory=dict)
    priced_from: date = date(2026, 1, 1)


# Measured: 32 tokens a second of audio are read; some 4 a second are written, at a usual pace of speech.
TOKENS = {"input_tokens_a_second": 32, "output_tokens_a_second": 4}


def _gemini(name: str, read: str, written: str) -> CatalogueModel:
    """A Gemini model with its prices of a million tokens."""
    return CatalogueModel(
        name=name,
        fields={
            "upstream_name": name,
            "speech_to_text": True,
            "supports_batch": True,
            "max_audio_seconds": 9.5 * 3600,
            "options": TOKENS,
        },
        prices={Price.Unit.INPUT_TOKENS: Decimal(read), Price.Unit.OUTPUT_TOKENS: Decimal(written)},
    )


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
            prices={Price.Unit.AUDIO_MINUTE: Decimal(0)},
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
            prices={Price.Unit.AUDIO_MINUTE: Decimal(0)},
        ),
        CatalogueModel(
            name="espeak-ng",
            fields={"upstream_name": ESPEAK, "text_to_speech": True, "options": {"voice": "en-us"}},
            prices={Price.Unit.AUDIO_MINUTE: Decimal(0)},
        ),
    ],
    # Prices of 2026; staff enter later ones with their day.
    "gemini": [
        _gemini("gemini-3.8-flash", "0.75", "3.75"),
        CatalogueModel(
            name="gemini-3.5-transcribe",
            fields={
                "upstream_name": "gemini-3.5-transcribe",
                "speech_to_text": True,
                "max_audio_seconds": 9.5 * 3600,
            },
            prices={Price.Unit.AUDIO_MINUTE: Decimal("0.003")},
        ),
    ],
}
