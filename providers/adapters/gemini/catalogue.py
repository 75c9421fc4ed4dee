"""What a Gemini provider starts with, as announced; staff enter later prices with their day."""

from datetime import date

from providers.adapters.gemini.speech import DEFAULT_VOICE
from providers.adapters.kinds import CatalogueModel, a_million_tokens

IN_2026, IN_2027 = date(2026, 1, 1), date(2027, 1, 1)
LONGEST = 9.5 * 3600  # seconds

# Measured: 32 tokens a second of audio are read; some 4 a second are written, at a usual pace of speech.
TOKENS = {"input_tokens_a_second": 32, "output_tokens_a_second": 4}

CATALOGUE = (
    CatalogueModel(
        name="gemini-3.8-flash",
        fields={
            "upstream_name": "gemini-3.8-flash",
            "speech_to_text": True,
            "chat": True,
            "supports_batch": True,
            "max_audio_seconds": LONGEST,
            "options": TOKENS,
        },
        prices={IN_2026: a_million_tokens("0.75", "3.75"), IN_2027: a_million_tokens("1.50", "7.50")},
    ),
    CatalogueModel(
        name="gemini-3.5-transcribe",
        fields={
            "upstream_name": "gemini-3.5-transcribe",
            "speech_to_text": True,
            "max_audio_seconds": LONGEST,
        },
        prices={IN_2026: {"audio_minute": "0.003"}},
    ),
    CatalogueModel(
        name="gemini-3.8-flash-tts",
        fields={
            "upstream_name": "gemini-3.8-flash-tts",
            "text_to_speech": True,
            "options": {"voice": DEFAULT_VOICE, "speech_formats": ["pcm"]},
        },
        prices={IN_2026: a_million_tokens("0.50", "9")},
    ),
)
