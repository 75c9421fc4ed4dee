"""Makes the demonstration's audio: sentences spoken by the embedded engine, some with noise; always the same bytes."""

import asyncio
import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from datasets.models import Dataset
from datasets.services import add_audio_sample
from providers.adapters.base import SpeechRequest, as_synthesizer
from providers.models import SpeechModel
from providers.registry import adapter_for, model_config

SENTENCES = [
    "The children were playing in the garden until it began to rain.",
    "She opened the window and looked down at the busy street.",
    "We are going to need a bigger table for the party tonight.",
    "He put the letter on the desk and walked out of the room.",
    "The train to the city leaves early in the morning.",
    "My brother works in a small hospital near the river.",
    "Please close the door behind you when you leave the house.",
    "They waited for the doctor, but nobody answered the telephone.",
    "The old man told us a long story about the war.",
    "There is a bottle of cold water in the kitchen.",
    "The teacher asked the students to read the first chapter.",
    "It takes about an hour to drive from here to the airport.",
    "The market closed lower after a quiet day of trading.",
    "I would like to order the chicken and a glass of wine.",
    "Most of the people in this town work for the same company.",
    "The president will speak to the country later this evening.",
    "Our team won the game in the last minute.",
    "You should talk to a lawyer before you sign that paper.",
    "The weather was beautiful, and the water was warm.",
    "Several houses were damaged by the storm last night.",
    "She wants to learn how to play the piano.",
    "The government announced a new plan to build more schools.",
    "He has been looking for a job since the end of summer.",
    "The dog was sleeping in front of the fire.",
    "Nobody knows what really happened on the island.",
    "The prices of food and oil went up again this month.",
    "I forgot to bring the keys to the office.",
    "They are planning to visit their friends in the mountains.",
    "The museum is open every day except Monday.",
    "This is the best book that I have read in years.",
]
VOICES = ["en-us", "en-us+Reed", "en-us+f5"]
WORDS_PER_MINUTE = [130, 150, 170, 190]
NORMAL_PACE = 175  # words a minute of a voice at speed 1
NOISE = [None, None, "30 dB", None, "25 dB"]  # signal-to-noise ratios


@dataclass(frozen=True)
class Sentence:
    """A sentence and how it is spoken."""

    number: int  # from 1
    text: str
    voice: str
    words_per_minute: int
    noise: str | None

    @property
    def key(self) -> str:
        return f"sentence-{self.number:02}"

    @property
    def tags(self) -> dict[str, str]:
        return {"voice": self.voice, "speed": f"{self.words_per_minute} wpm", "noise": self.noise or "none"}


def sentences() -> Iterator[Sentence]:
    for index, text in enumerate(SENTENCES):
        yield Sentence(
            index + 1,
            text,
            VOICES[index % len(VOICES)],
            WORDS_PER_MINUTE[index % len(WORDS_PER_MINUTE)],
            NOISE[index % len(NOISE)],
        )


def add_missing_sentences(dataset: Dataset, model: SpeechModel) -> int:
    """Speak the sentences that `dataset` lacks and add them. Returns how many. Raises ProviderError."""
    present = set(dataset.samples.values_list("key", flat=True))
    missing = [sentence for sentence in sentences() if sentence.key not in present]
    for sentence, audio in zip(missing, asyncio.run(_speak(missing, model)), strict=True):
        add_audio_sample(
            dataset=dataset,
            file=io.BytesIO(audio),
            filename=f"{sentence.key}.wav",
            key=sentence.key,
            reference=sentence.text,
            tags=sentence.tags,
        )
    return len(missing)


async def _speak(missing: list[Sentence], model: SpeechModel) -> list[bytes]:
    adapter = as_synthesizer(adapter_for(model.provider))
    config = model_config(model)

    async def speak(sentence: Sentence) -> bytes:
        pace = sentence.words_per_minute / NORMAL_PACE
        speech = await adapter.speak(config, SpeechRequest(sentence.text, sentence.voice, pace))
        if sentence.noise is None:
            return speech.audio
        return with_noise(speech.audio, decibels=float(sentence.noise.split()[0]), seed=sentence.number)

    return list(await asyncio.gather(*map(speak, missing)))


def with_noise(audio: bytes, *, decibels: float, seed: int) -> bytes:
    """A 16-bit mono WAV file with white noise, `decibels` below the mean power of its sound; silence is left out of
    that mean."""
    with wave.open(io.BytesIO(audio)) as reader:
        settings = reader.getparams()
        sound = np.frombuffer(reader.readframes(settings.nframes), dtype="<i2").astype(np.float64)
    power = np.mean(sound[np.abs(sound) > np.abs(sound).max() / 100] ** 2)
    deviation = np.sqrt(power / 10 ** (decibels / 10))
    noisy = sound + np.random.default_rng(seed).normal(0, deviation, sound.size)
    result = io.BytesIO()
    with wave.open(result, "wb") as writer:
        writer.setparams(settings)
        writer.writeframes(np.clip(np.rint(noisy), -32768, 32767).astype("<i2").tobytes())
    return result.getvalue()
