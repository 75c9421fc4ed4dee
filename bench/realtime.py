"""What a voice conversation waits for beside its models.

    python -m bench.realtime                      # one session, 100 at once for 20 s, 1,000 one after another
    python -m bench.realtime --sessions 50 --seconds 60

The models are the OpenAI stand-in, a process of its own on loopback, with known delays: `latency` before each answer
and `part_delay` between the words of the chat model. What is added is the time from the commit to the first audio
beyond transcription + the words up to the first sentence's end + the first of its sound. Who barges in sends 20 ms at
a time, as telephones do; how soon a voice is heard depends on the voice. BENCH_DATABASE_URL measures another database
than a new SQLite.
"""

import asyncio
import base64
import json
import statistics
import sys
import time

import numpy as np
from websockets.asyncio.client import connect

from bench.measure import cpu_seconds, earshot, options, percentile, resident_mb, setup_django, standin

LATENCY, PART_DELAY = 0.1, 0.02  # seconds
ANSWER = "Good morning to you. The weather is fine today."
WORDS_TO_WAIT = 4  # up to the end of the first sentence; the stream's first part holds no word yet, as OpenAI's
KNOWN = 3 * LATENCY + WORDS_TO_WAIT * PART_DELAY
MODELS = {"stt_model": "studio/whisper", "llm_model": "studio/chat", "tts_model": "studio/voice"}
ALLOWED = {"connect": 10, "event": 1, "added": 30, "barge-in": 200, "added at once": 100}  # ms: medians, then p95


def say(name, times, allowed=None):
    """`times` in ms."""
    p95 = percentile(times, 95)
    limit = f" (allowed: {allowed})" if allowed else ""
    print(f"{name}: median {statistics.median(times):.2f} ms, p95 {p95:.2f} ms, {len(times)} times{limit}", flush=True)
    return statistics.median(times), p95


class Session:
    """A connection; `at` is when its last event came."""

    def __init__(self, site):
        self.address = site.url.replace("http", "ws", 1) + "/realtime"
        self.headers = {"Authorization": f"Bearer {site.key}"}

    async def __aenter__(self):
        begun = time.perf_counter()
        self.socket = await connect(
            self.address, additional_headers=self.headers, compression=None, max_size=None, proxy=None
        ).__aenter__()
        await self.next()
        self.connected_in = self.at - begun
        return self

    async def __aexit__(self, *exc_info):
        await self.socket.close()

    async def next(self):
        text = await self.socket.recv()
        self.at = time.perf_counter()
        return json.loads(text)

    async def until(self, *types):
        while (event := await self.next())["type"] not in types:
            if event["type"] == "error":
                raise RuntimeError(event["error"])
        return event

    async def send(self, type, **fields):
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def play(self, frames):
        """Frames of 20 ms, in real time."""
        due = time.perf_counter()
        for frame in frames:
            await self.socket.send(frame)
            due += 0.02
            await asyncio.sleep(max(0, due - time.perf_counter()))

    async def begin(self, detection):
        session = {"type": "realtime", **MODELS, "audio": {"input": {"turn_detection": detection}}}
        await self.send("session.update", session=session)
        await self.until("session.updated")


def appends(samples, ms=100):
    """The frames that append `samples`, so many ms each."""
    pieces = (samples[at : at + 24 * ms].tobytes() for at in range(0, len(samples), 24 * ms))
    return [
        json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(piece).decode()}) for piece in pieces
    ]


async def connecting(site, times):
    waits = []
    for _ in range(times):
        async with Session(site) as session:
            waits.append(1000 * session.connected_in)
    return waits


async def events(site, times):
    waits = []
    async with Session(site) as session:
        for _ in range(times):
            begun = time.perf_counter()
            await session.send("input_audio_buffer.clear")
            await session.until("input_audio_buffer.cleared")
            waits.append(1000 * (session.at - begun))
    return waits


async def turns(site, times, frames):
    waits = []
    async with Session(site) as session:
        await session.begin(None)
        for _ in range(times):
            for frame in frames:
                await session.socket.send(frame)
            begun = time.perf_counter()
            await session.send("input_audio_buffer.commit")
            await session.send("response.create")
            await session.until("response.output_audio.delta")
            waits.append(1000 * (session.at - begun - KNOWN))
            done = await session.until("response.done")
            if done["response"]["status"] != "completed":
                raise RuntimeError(f"it was not answered: {done}")
    return waits[1:]  # the first one opens the connections to the provider


async def interruptions(site, times, voice):
    """What it takes from the first loud frame of somebody who speaks into an answer until it is over and its last sound
    sent; and how much of that until the voice is heard. In ms."""
    heard, over = [], []
    async with Session(site) as session:
        await session.begin({"type": "server_vad", "silence_duration_ms": 300})
        for turn in range(times + 1):
            begun = time.perf_counter()
            speaking = asyncio.create_task(session.play(voice))
            if turn:
                await session.until("input_audio_buffer.speech_started")
                heard.append(1000 * (session.at - begun))
                done = await session.until("response.done")
                over.append(1000 * (session.at - begun))
                if done["response"]["status"] != "cancelled":
                    raise RuntimeError(f"it was not interrupted: {done}")
            await speaking
            await session.until("response.output_audio.delta")
    return heard, over


async def crowd(site, count, seconds, frames):
    """Sessions that speak in real time, turn after turn by voice activity, each at its own moment, and wait for the
    answer to each turn."""
    added, statuses, failures = [], [], []

    async def speak(session, delay):
        await asyncio.sleep(delay)
        due, turns = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds or not turns:
            turns += 1
            for frame in frames:
                await session.socket.send(frame)
                due += 0.1
                await asyncio.sleep(max(0, due - time.perf_counter()))
        return turns

    async def listen(session, answers):
        while True:
            await session.until("input_audio_buffer.committed")
            committed = session.at
            event = await session.until("response.output_audio.delta", "response.done")
            if event["type"] == "response.output_audio.delta":
                added.append(1000 * (session.at - committed - KNOWN))
                event = await session.until("response.done")
            answers.append(event["response"]["status"])

    async def visit(number):
        try:
            async with Session(site) as session:
                await session.begin({"type": "server_vad"})
                answers = []
                listening = asyncio.create_task(listen(session, answers))
                turns = await speak(session, number / count * len(frames) / 10)
                async with asyncio.timeout(120):
                    while len(answers) < turns and not listening.done():
                        await asyncio.sleep(0.05)
                if listening.done():
                    listening.result()  # raises what went wrong
                listening.cancel()
                statuses.extend(answers)
        except Exception as error:
            failures.append(repr(error))

    begun = time.perf_counter()
    await asyncio.gather(*(visit(number) for number in range(count)))
    return added, statuses, failures


async def visits(site, times):
    """Resident MB after the first fifth of so many sessions, and after all."""
    frames = appends(np.zeros(4800, np.int16))
    sizes = []
    for number in range(times):
        async with Session(site) as session:
            for frame in frames:
                await session.socket.send(frame)
            await session.send("input_audio_buffer.clear")
            await session.until("input_audio_buffer.cleared")  # all has been taken
        if number + 1 in (times // 5, times):
            sizes.append(resident_mb(site.pid))
    return sizes


async def main(options):
    setup_django()
    from tests.voice.speech import spoken

    # Who has spoken listens for as long as the answer lasts, and thinks.
    silence = np.zeros(options.pause * 2400, np.int16)
    speech = spoken("good morning to you")
    loud = speech[np.argmax(np.abs(speech) > 1000) :]
    hand, vad = appends(speech), appends(np.concatenate([speech[: len(speech) // 2400 * 2400], silence]))
    settings = {"latency": LATENCY, "part_delay": PART_DELAY, "text": "good morning", "chat_text": ANSWER}
    environment = {"REALTIME_SESSIONS_PER_KEY": "1000"}
    with standin(**settings) as studio, earshot(studio, **environment) as site:
        results = {
            "connect": say("connect to first event", await connecting(site, options.connections), ALLOWED["connect"])[0]
        }
        results["event"] = say("event without model work", await events(site, options.events), ALLOWED["event"])[0]
        results["added"] = say("added delay, one session", await turns(site, options.turns, hand), ALLOWED["added"])[0]
        studio.settings(chat_text=60 * ANSWER)
        voice = appends(np.concatenate([loud, silence[: 24 * 600]]), 20)
        heard, over = await interruptions(site, options.interruptions, voice)
        say("barge-in: the voice is heard", heard)
        results["barge-in"] = say("barge-in: the answer is over", over, ALLOWED["barge-in"])[1]
        studio.settings(chat_text=ANSWER)
        cpu, begun = cpu_seconds(site.pid), time.perf_counter()
        added, statuses, failures = await crowd(site, options.sessions, options.seconds, vad)
        share = 100 * (cpu_seconds(site.pid) - cpu) / (time.perf_counter() - begun)
        results["added at once"] = say(f"added delay, {options.sessions} at once", added, ALLOWED["added at once"])[1]
        counts = {status: statuses.count(status) for status in set(statuses)}
        print(
            f"answers: {counts}; sessions dropped: {len(failures)} {failures[:1]}; processor {share:.0f} %", flush=True
        )
        before, after = await visits(site, options.visits)
        print(f"memory after {options.visits // 5} and {options.visits} sessions: {before:.0f} and {after:.0f} MB")
    if failures or set(statuses) != {"completed"}:
        sys.exit(f"{len(failures)} sessions dropped; answers: {counts}")
    slow = [name for name, figure in results.items() if figure > ALLOWED[name]]
    if slow and not options.small:
        sys.exit(f"too slow: {', '.join(slow)}")


if __name__ == "__main__":
    chosen = options(
        __doc__,
        connections=(50, 3),
        events=(500, 5),
        turns=(20, 2),
        interruptions=(20, 1),
        sessions=(100, 2),
        seconds=(20, 1),
        pause=(60, 20),
        visits=(1000, 5),
    )
    asyncio.run(main(chosen))
