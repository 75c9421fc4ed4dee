"""What an OpenAI provider starts with, as announced; staff enter later prices with their day.

OpenAI ends whisper-1 and gpt-4o-mini-transcribe on 2027-02-26, tts-1 and gpt-4o-mini-tts on 2027-01-06.
"""

from datetime import date

from providers.adapters.kinds import CatalogueModel, a_million_tokens

IN_2026 = date(2026, 1, 1)
LARGEST = 25 * 1024 * 1024  # bytes
AUDIO_FORMATS = ["wav", "mp3", "mp4", "flac", "ogg", "webm"]


def _hearing(name: str, a_minute: str, **more: object) -> CatalogueModel:
    fields = {
        "upstream_name": name,
        "speech_to_text": True,
        "max_audio_bytes": LARGEST,
        "options": {"audio_formats": AUDIO_FORMATS},
        **more,
    }
    return CatalogueModel(name=name, fields=fields, prices={IN_2026: {"audio_minute": a_minute}})


CATALOGUE = (
    _hearing("gpt-transcribe", "0.0045"),
    _hearing("gpt-4o-mini-transcribe", "0.003"),
    _hearing("whisper-1", "0.006", translation=True, word_times=True, segment_times=True),
    CatalogueModel(
        name="gpt-4o-mini-tts",
        fields={
            "upstream_name": "gpt-4o-mini-tts",
            "text_to_speech": True,
            "options": {"voice": "alloy", "stream_format": "sse"},  # its events count tokens, which are what is paid
        },
        prices={IN_2026: a_million_tokens("0.60", "12")},
    ),
    CatalogueModel(
        name="tts-1",
        fields={"upstream_name": "tts-1", "text_to_speech": True, "options": {"voice": "alloy"}},
        prices={IN_2026: {"characters": "15"}},
    ),
    CatalogueModel(
        name="gpt-4.1-mini",
        fields={"upstream_name": "gpt-4.1-mini", "chat": True},
        prices={IN_2026: a_million_tokens("0.40", "1.60")},
    ),
)
