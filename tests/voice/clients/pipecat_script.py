"""Pipecat's service for OpenAI: two spoken turns, committed by hand (WAY=hand) or by the server (vad)."""

import asyncio
import json
import os
import wave

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    LLMFullResponseEndFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SessionProperties,
    TurnDetection,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

PIECE = 2400  # samples: 100 ms


class Ear(FrameProcessor):
    """Notes what passes."""

    def __init__(self, seen, done):
        super().__init__()
        self.seen, self.done = seen, done

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            self.seen["heard"].append(frame.text)
        elif isinstance(frame, TTSTextFrame):
            self.seen["said"] += frame.text
        elif isinstance(frame, TTSAudioRawFrame):
            self.seen["samples"] += len(frame.audio) // 2
        elif isinstance(frame, ErrorFrame):
            self.seen["errors"].append(frame.error)
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.done.put_nowait(True)
        await self.push_frame(frame, direction)


async def talk(worker, ready, done, by_hand):
    await ready.wait()
    for turn in (1, 2):
        if by_hand:
            await worker.queue_frame(UserStartedSpeakingFrame())
        with wave.open(f"{os.environ['FOLDER']}/turn{turn}.wav") as file:
            while audio := file.readframes(PIECE):
                await worker.queue_frame(InputAudioRawFrame(audio=audio, sample_rate=24_000, num_channels=1))
        if by_hand:
            await worker.queue_frame(UserStoppedSpeakingFrame())
        async with asyncio.timeout(120):  # a busy machine takes its time
            await done.get()
    await worker.queue_frame(EndFrame())


async def main():
    by_hand = os.environ["WAY"] == "hand"
    detection = False if by_hand else TurnDetection(silence_duration_ms=400)
    sound = AudioInput(turn_detection=detection, transcription=InputAudioTranscription(model="gpt-4o-transcribe"))
    service = OpenAIRealtimeLLMService(
        api_key=os.environ["API_KEY"],
        base_url=os.environ["ADDRESS"],
        settings=OpenAIRealtimeLLMService.Settings(
            model="studio",
            system_instruction="Greet whoever speaks.",
            session_properties=SessionProperties(audio=AudioConfiguration(input=sound)),
        ),
    )
    seen, done, ready = {"heard": [], "said": "", "samples": 0, "errors": []}, asyncio.Queue(), asyncio.Event()
    worker = PipelineWorker(Pipeline([Ear(seen, done), service, Ear(seen, done)]), cancel_on_idle_timeout=False)

    @worker.event_handler("on_pipeline_started")
    async def started(worker, frame):
        ready.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    talking = asyncio.create_task(talk(worker, ready, done, by_hand))
    await asyncio.wait_for(runner.run(), 280)
    await talking
    print(json.dumps(seen))  # noqa: T201


asyncio.run(main())
