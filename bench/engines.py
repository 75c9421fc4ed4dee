"""How many times faster than real time the embedded recogniser hears: with one engine, and with one a core.

    python -m bench.engines

The embedded voice speaks 12 sentences, then each model hears them one after the other, and all at once. Engines are
loaded before the clock starts. What else the machine does makes the figures smaller.
"""

import asyncio
import time
from itertools import islice

from bench.measure import options, setup_django

setup_django()

from config.demo_speech import sentences  # noqa: E402
from providers.adapters.base import ModelConfig, ProviderConfig, SpeechRequest, TranscriptionRequest  # noqa: E402
from providers.adapters.local import LocalAdapter  # noqa: E402
from providers.connection_test import WavAudio  # noqa: E402
from providers.engines.pool import engines_at_once  # noqa: E402

ADAPTER = LocalAdapter(ProviderConfig("local", "local"))


def models(able):
    """[(name, config)] of the catalogue's models that are `able`."""
    return [
        (entry.name, ModelConfig(entry.fields["upstream_name"], entry.fields.get("options", {})))
        for entry in LocalAdapter.info.catalogue
        if entry.fields.get(able)
    ]


async def hear(model, clips, at_once):
    """Transcribe `clips`, `at_once` at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(clip):
        async with free:
            heard = await ADAPTER.transcribe(model, TranscriptionRequest(clip))
            assert heard.text.strip(), "nothing was heard in a spoken sentence"

    await asyncio.gather(*map(one, clips))


async def main(count):
    [(_, voice)] = models("text_to_speech")
    chosen = list(islice(sentences(), count))
    started = time.perf_counter()
    spoken = await asyncio.gather(*(ADAPTER.speak(voice, SpeechRequest(s.text, s.voice)) for s in chosen))
    elapsed = time.perf_counter() - started
    clips = [WavAudio(speech.audio) for speech in spoken]
    seconds = sum(clip.duration for clip in clips)
    print(
        f"{len(clips)} sentences, {seconds:.0f} s of audio, spoken {seconds / elapsed:.0f} times faster than real time"
    )
    assert len(clips) == count, f"there are {len(clips)} sentences"
    cores = engines_at_once()
    print(f"{'model':20} {'engines':>7} {'seconds':>8} {'RTFx':>6}")
    for name, model in models("speech_to_text"):
        await hear(model, clips[:1] * cores, cores)  # loads the engines
        for at_once in sorted({1, cores}):
            started = time.perf_counter()
            await hear(model, clips, at_once)
            elapsed = time.perf_counter() - started
            print(f"{name:20} {at_once:7} {elapsed:8.1f} {seconds / elapsed:6.1f}", flush=True)
    ADAPTER.close()


if __name__ == "__main__":
    asyncio.run(main(options(__doc__, sentences=(12, 1)).sentences))
