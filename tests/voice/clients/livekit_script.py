"""LiveKit's plugin for OpenAI: two spoken turns, committed by hand (WAY=hand) or by the server (vad)."""

import asyncio
import json
import os
import wave

import aiohttp
from livekit import rtc
from livekit.agents import llm
from livekit.plugins.openai.realtime import RealtimeModel
from openai.types.realtime import AudioTranscription
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad

PIECE = 2400  # samples: 100 ms


def frames_of(turn):
    with wave.open(f"{os.environ['FOLDER']}/turn{turn}.wav") as file:
        while data := file.readframes(PIECE):
            yield rtc.AudioFrame(data, 24_000, 1, len(data) // 2)


async def read(generation):
    """The answer's text, and how many samples of it were spoken."""
    text, samples = "", 0
    async for message in generation.message_stream:
        async for piece in message.text_stream:
            text += str(piece)
        async for frame in message.audio_stream:
            samples += frame.samples_per_channel
    return text, samples


async def main():
    by_hand = os.environ["WAY"] == "hand"
    detection = None if by_hand else ServerVad(type="server_vad", silence_duration_ms=400, create_response=True)
    heard, answers, errors = [], [], []
    generations = asyncio.Queue()
    async with aiohttp.ClientSession() as http:
        model = RealtimeModel(
            model="studio",
            api_key=os.environ["API_KEY"],
            base_url=os.environ["API"],
            turn_detection=detection,
            input_audio_transcription=AudioTranscription(model="gpt-4o-mini-transcribe"),
            http_session=http,
        )
        session = model.session()
        session.on("error", lambda event: errors.append(str(event.error)))
        session.on("generation_created", generations.put_nowait)
        session.on(
            "input_audio_transcription_completed",
            lambda event: heard.append(event.transcript) if event.is_final else None,
        )
        await session.update_instructions("Greet whoever speaks.")
        await session.update_chat_ctx(llm.ChatContext.empty())
        for turn in (1, 2):
            for frame in frames_of(turn):
                session.push_audio(frame)
            if by_hand:
                session.commit_audio()
                asked = session.generate_reply()
                async with asyncio.timeout(120):
                    answers.append(await read(await asked))
            else:
                async with asyncio.timeout(120):
                    answers.append(await read(await generations.get()))
        await session.aclose()
    said, samples = [text for text, _ in answers], sum(count for _, count in answers)
    print(json.dumps({"heard": heard, "said": said, "samples": samples, "errors": errors}))  # noqa: T201


asyncio.run(main())
