"""OpenAI's agents for realtime in Python: two spoken turns, committed by hand (WAY=hand) or by the server (vad)."""

import asyncio
import json
import os
import wave

from agents.realtime import RealtimeAgent, RealtimeRunner
from agents.realtime.model_inputs import RealtimeModelSendRawMessage

PIECE = 4800  # bytes: 100 ms


def audio_of(turn):
    with wave.open(f"{os.environ['FOLDER']}/turn{turn}.wav") as file:
        return file.readframes(file.getnframes())


async def speak(session, audio, by_hand):
    for at in range(0, len(audio), PIECE):
        await session.send_audio(audio[at : at + PIECE], commit=by_hand and at + PIECE >= len(audio))
    if by_hand:
        await session.model.send_event(RealtimeModelSendRawMessage(message={"type": "response.create"}))


async def main():
    by_hand = os.environ["WAY"] == "hand"
    detection = None if by_hand else {"type": "server_vad", "silence_duration_ms": 400}
    settings = {
        "model_name": "studio",
        "audio": {
            "input": {"turn_detection": detection, "transcription": {"model": "gpt-4o-mini-transcribe"}},
        },
    }
    runner = RealtimeRunner(
        RealtimeAgent(name="Greeter", instructions="Greet whoever speaks."), config={"tracing_disabled": True}
    )
    config = {
        "api_key": os.environ["API_KEY"],
        "url": os.environ["ADDRESS"] + "?model=studio",
        "initial_model_settings": settings,
    }
    turn, spoken, errors, history = 1, 0, [], []
    async with asyncio.timeout(60), await runner.run(model_config=config) as session:
        await speak(session, audio_of(turn), by_hand)
        async for event in session:
            if event.type == "audio":
                spoken += len(event.audio.data)
            elif event.type == "error":
                errors.append(str(event.error))
            elif event.type == "history_updated":
                history = event.history
            elif event.type == "raw_model_event" and event.data.type == "turn_ended":
                if turn == 2:
                    break
                turn += 1
                await asyncio.sleep(spoken / 48_000)  # it is being played: who speaks earlier interrupts
                await speak(session, audio_of(turn), by_hand)
    items = [
        {"role": item.role, "transcript": "".join(part.transcript or "" for part in item.content)} for item in history
    ]
    print(json.dumps({"items": items, "errors": errors, "bytes": spoken}))  # noqa: T201


asyncio.run(main())
