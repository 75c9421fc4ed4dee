"""The OpenAI adapter against the stand-in, as a caller without an event loop sees it."""

import asyncio
from contextlib import aclosing

from providers.adapters.base import (
    ChatMessage,
    ChatRequest,
    ModelConfig,
    ProviderConfig,
    SpeechRequest,
    TranscriptionRequest,
)
from providers.adapters.openai import OpenAIAdapter, OpenAICompatibleAdapter
from providers.connection_test import WavAudio
from tests.audio import make_wav

WHISPER = ModelConfig("whisper-1", timestamp_granularities=frozenset({"word", "segment"}))
GPT = ModelConfig("gpt-transcribe")
VOICE = ModelConfig("tts-1")
CHAT = ModelConfig("gpt-4.1-mini")
WAV = make_wav(2.0)


def compatible(openai, key=""):
    return OpenAICompatibleAdapter(ProviderConfig("openai_compatible", "box", openai.url, key))


def official(openai, key="a-key"):
    return OpenAIAdapter(ProviderConfig("openai", "openai", openai.url, key))


def hearing(audio=None, **more):
    return TranscriptionRequest(audio or WavAudio(WAV), **more)


def hear(openai, model=WHISPER, adapter=None, **request):
    return asyncio.run((adapter or compatible(openai)).transcribe(model, hearing(**request)))


def translate(openai, model=WHISPER, **request):
    return asyncio.run(compatible(openai).translate(model, hearing(**request)))


def speak(openai, text="Good morning.", model=VOICE, **request):
    return asyncio.run(compatible(openai).speak(model, SpeechRequest(text, **request)))


def hear_parts(openai, model=GPT, **request):
    return asyncio.run(collect(compatible(openai).stream_transcription(model, hearing(**request))))


def speak_parts(openai, text="Good morning.", model=VOICE, **request):
    return asyncio.run(collect(compatible(openai).stream_speech(model, SpeechRequest(text, **request))))


def chat_parts(openai, text="one two three", adapter=None, model=CHAT, **request):
    asked = ChatRequest((ChatMessage("user", text),), **request)
    return asyncio.run(collect((adapter or compatible(openai)).stream_chat(model, asked)))


async def collect(stream):
    async with aclosing(stream) as parts:
        return [part async for part in parts]


STREAMS = {
    "transcript": lambda adapter: adapter.stream_transcription(GPT, hearing()),
    "speech": lambda adapter: adapter.stream_speech(VOICE, SpeechRequest("Good morning.")),
    "speech events": lambda adapter: adapter.stream_speech(
        ModelConfig("tts", {"stream_format": "sse"}), SpeechRequest("Good morning.")
    ),
    "chat": lambda adapter: adapter.stream_chat(CHAT, ChatRequest((ChatMessage("user", "one two three four"),))),
}
