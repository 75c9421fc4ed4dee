"""Random sessions: whatever a client sends and whatever happens, the rules hold."""

import gc
import json
import random
from collections import Counter

import pytest

from tests.voice.protocol.talk import Talk, b64, pcm
from voice.protocol import commands, runner_events
from voice.protocol.commands import StartResponse, Transcribe
from voice.protocol.config import Limits
from voice.protocol.responses import ResponseInProgress
from voice.protocol.session import Session

JUNK: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2.5,
    10**400,
    "",
    "x",
    "root",
    "é" * 300,
    [],
    [[]],
    {},
    {"type": "message"},
    "AAAA",
    ["text"],
)
SENTENCE = "And so it goes. "
LIMITS = Limits(
    audio_seconds=4, append_bytes=len(pcm(1500)), transcriptions=3, items=8, text_chars=400, out_of_band_responses=2
)


class Anyone(Talk):
    """A client and a runner that do anything at all, and keep the books by which the rules are checked."""

    def __init__(self, dialect, seed):
        super().__init__(dialect, limits=LIMITS, start=False, kind="transcription" if seed % 10 == 0 else "realtime")
        self.random = random.Random(seed)
        self.items = {"root"}
        self.responses = {}  # id -> what it was told to be
        self.in_conversation = []  # ids of active ones
        self.deleted = {}
        self.written = Counter()  # sentences of a response that the chat model has written and nobody begun to speak
        self.text = {}  # of a response, as the client has got it
        self.take(self.wire.start())

    # What may come

    def junk(self):
        return self.random.choice(JUNK)

    def some_item(self):
        return self.random.choice([*sorted(self.items), "item_gone", self.junk()])

    def some_response(self):
        return self.random.choice([*sorted(self.responses), "resp_gone"])

    def item(self):
        role = self.random.choice(["user", "assistant", "system"])
        part = self.random.choice(
            [
                {"type": "input_text", "text": f"text {self.random.random()}"},
                {"type": "input_audio", "audio": b64(pcm(50))},
                {"type": "text", "text": "hello " * 20},
                {"type": "audio", "transcript": "spoken"},
            ]
        )
        item = {"type": "message", "role": role, "content": [part]}
        if self.random.random() < 0.2:
            item["id"] = f"own{self.random.randrange(20)}"
        return item

    def event(self):
        """(name, fields): as a client would send it, or nearly."""
        choose = self.random.choice
        update = {"instructions": "Be kind.", "tools": [], "temperature": 0.5}
        detection = choose(
            [None, {"type": "server_vad"}, {"type": "server_vad", "create_response": False}, {"type": "x"}]
        )
        if self.dialect == "ga":
            update["audio"] = {"input": {"turn_detection": detection}}
        else:
            update["turn_detection"] = detection
        response = choose(
            [
                {},
                {"conversation": "none"},
                {"metadata": {"a": "b"}},
                {"conversation": "none", "input": [self.item(), {"type": "item_reference", "id": self.some_item()}]},
                {"modalities" if self.dialect == "beta" else "output_modalities": ["text"]},
            ]
        )
        return choose(
            [
                ("input_audio_buffer.append", {"audio": b64(pcm(self.random.randrange(1600)))}),
                ("input_audio_buffer.append", {"audio": b64(pcm(self.random.randrange(600)))}),
                ("input_audio_buffer.commit", {}),
                ("input_audio_buffer.clear", {}),
                ("session.update", {"session": update}),
                (
                    "conversation.item.create",
                    {"item": self.item(), "previous_item_id": choose([None, self.some_item()])},
                ),
                ("conversation.item.retrieve", {"item_id": self.some_item()}),
                ("conversation.item.delete", {"item_id": self.some_item()}),
                (
                    "conversation.item.truncate",
                    {
                        "item_id": self.some_item(),
                        "content_index": choose([0, 0, 0, 1]),
                        "audio_end_ms": self.random.randrange(2000),
                    },
                ),
                ("response.create", {"response": response}),
                ("response.create", {}),
                ("response.cancel", {}),
                ("response.cancel", {"response_id": self.some_response()}),
            ]
        )

    def happening(self):
        choose = self.random.choice
        ms = self.random.randrange(20_000)
        response_id = choose([self.some_response(), *self.in_conversation])
        speech = choose([(order.item_id, order.content_index) for order in self.ordered(Transcribe)] or [("item", 0)])
        written = [response_id for response_id, count in self.written.items() if count]
        if written and self.random.random() < 0.2:
            spoken = choose(written)
            self.written[spoken] -= 1
            return runner_events.SentenceStarted(spoken, SENTENCE)
        return choose(
            [
                runner_events.SilenceHeard(ms),
                runner_events.SpeechStarted(ms),
                runner_events.SpeechStopped(ms),
                runner_events.TranscriptionDelta(*speech, "he"),
                runner_events.Transcribed(*speech, choose(["", "heard this"]), 1.0),
                runner_events.TranscriptionFailed(*speech, "code", "message"),
                self.chat_text(response_id),
                self.chat_text(response_id),
                runner_events.SpeechAudio(response_id, pcm(self.random.randrange(1, 200))),
                runner_events.ResponseUsage(response_id, 3, 4),
                runner_events.ResponseFinished(response_id, choose([False, True])),
                runner_events.ResponseFailed(response_id, "code", "message"),
            ]
        )

    def chat_text(self, response_id):
        return runner_events.ChatText(response_id, SENTENCE)

    def step(self):
        kind = self.random.random()
        if kind < 0.5:
            name, fields = self.event()
            if self.random.random() < 0.1 and fields:
                fields = {**fields, self.random.choice(sorted(fields)): self.junk()}
            self.say(name, **fields)
        elif kind < 0.95:
            self.happen(self.happening())
        elif kind < 0.97:
            self.take(self.wire.audio(bytes(self.random.randrange(2000))))
        else:
            frame = json.dumps({"type": "response.create", "response": {"instructions": "x"}})
            cut = self.random.randrange(len(frame))
            self.take(self.wire.text(frame[:cut] + self.random.choice(["", "\0", "}", '"'])))

    # What must hold

    def take(self, step):
        before = len(self.events)
        super().take(step)
        for event in self.events[before:]:
            self.hold(event)
        for command in step.commands:
            if isinstance(command, StartResponse):
                assert self.responses[command.response_id] == "active"
                told = [message.text for message in command.messages]
                assert not set(told) & set(self.deleted.values()), "the context holds what was deleted"

    def hold(self, event):
        name = event["type"]
        if name == "response.created":
            response = event["response"]
            assert response["id"] not in self.responses
            self.responses[response["id"]] = "active"
            if response["conversation_id"]:
                self.in_conversation.append(response["id"])
            assert len(self.in_conversation) <= 1, "two responses are active"
        elif name == "response.done":
            response_id = event["response"]["id"]
            assert self.responses[response_id] == "active", "a response is done twice, or never began"
            assert event["response"]["status"] != "in_progress"
            assert all(item["status"] != "in_progress" for item in event["response"]["output"])
            self.responses[response_id] = "done"
            self.in_conversation = [each for each in self.in_conversation if each != response_id]
        elif name.startswith("response."):
            response_id = event["response_id"]
            assert self.responses[response_id] == "active", f"{name} of a response that is over"
            if name == self.name("response.output_audio_transcript.delta"):
                self.text[response_id] = self.text.get(response_id, "") + event["delta"]
            elif name == self.name("response.output_audio_transcript.done"):
                assert self.text.get(response_id, "").startswith(event["transcript"])
        elif name == self.name("conversation.item.added"):
            assert event["item"]["id"] not in self.items
            assert event["previous_item_id"] is None or event["previous_item_id"] in self.items
            self.items.add(event["item"]["id"])
        elif name == "conversation.item.deleted":
            self.items.remove(event["item_id"])
        elif name.startswith("conversation.item."):
            assert (event["item_id"] if "item_id" in event else event["item"]["id"]) in self.items

    def happen(self, happening):
        if isinstance(happening, runner_events.ChatText) and self.responses.get(happening.response_id) == "active":
            self.written[happening.response_id] += 1
        return super().happen(happening)

    def say(self, name, **fields):
        if name == "conversation.item.delete" and isinstance(fields["item_id"], str):
            # Texts of the client's own that are unlike any other's.
            item = next((item for item in self.wire.session._keeper.conversation if item.id == fields["item_id"]), None)
            if item and item.text.startswith("text 0.") and item.status != "in_progress":
                self.deleted[item.id] = item.text
        return super().say(name, **fields)


@pytest.mark.parametrize("seed", range(25))
def test_the_rules_hold_whatever_comes(dialect, seed):
    talk = Anyone(dialect, seed)
    for _ in range(150):
        talk.step()
    talk.happen(runner_events.TimeUp("expired"))
    assert set(talk.responses.values()) <= {"done"}, "a response was left without its end"
    told = {event["event_id"] for event in talk.events}
    assert len(told) == len(talk.events), "an event's id was given twice"
    started = {order.response_id for order in talk.ordered(StartResponse)}
    stopped = [order.response_id for order in talk.ordered(commands.CancelResponse)]
    assert set(stopped) <= started
    assert len(set(stopped)) == len(stopped)


WHOLE = {
    "ga": {
        "type": "realtime",
        "model": "echo",
        "output_modalities": ["audio"],
        "instructions": "Be kind.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "sphinx", "language": "en", "prompt": "names"},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {"type": "server_vad", "threshold": 0.4, "idle_timeout_ms": None},
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "verse"}, "speed": 1.1},
        },
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "max_output_tokens": "inf",
        "tracing": "auto",
    },
    "beta": {
        "modalities": ["text", "audio"],
        "instructions": "Be kind.",
        "voice": "verse",
        "input_audio_format": "pcm16",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "whisper-1"},
        "turn_detection": {"type": "server_vad", "prefix_padding_ms": 100, "silence_duration_ms": 200},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "temperature": 0.8,
        "max_response_output_tokens": 4096,
        "llm_model": "echo",
    },
}
MESSAGE = {
    "id": "given",
    "type": "message",
    "role": "user",
    "content": [
        {"type": "input_text", "text": "hi"},
        {"type": "input_audio", "audio": b64(pcm(20)), "transcript": None},
    ],
}


def bent(value, chance):
    """The same with anything in place of some of its parts."""
    if chance.random() < 0.08:
        return chance.choice(JUNK)
    if isinstance(value, dict):
        return {bent_name(name, chance): bent(each, chance) for name, each in value.items() if chance.random() > 0.03}
    if isinstance(value, list):
        return [bent(each, chance) for each in value for _ in range(chance.choice([1, 1, 1, 2, 0]))]
    return value


def bent_name(name, chance):
    return name if chance.random() > 0.02 else chance.choice(["", "x" * 300, "type", "__class__", "id"])


def test_events_that_are_bent_anywhere_are_done_or_refused_and_the_session_goes_on(dialect):
    chance = random.Random(7)
    events = [
        {"type": "session.update", "session": WHOLE[dialect]},
        {"type": "conversation.item.create", "previous_item_id": "root", "item": MESSAGE},
        {
            "type": "response.create",
            "response": {
                "instructions": "x",
                "conversation": "none",
                "metadata": {"a": "b"},
                "input": [MESSAGE, {"type": "item_reference", "id": "given"}],
                "max_output_tokens": 5,
            },
        },
        {"type": "conversation.item.truncate", "item_id": "given", "content_index": 0, "audio_end_ms": 5},
        {"type": "conversation.item.delete", "item_id": "given"},
        {"type": "response.cancel", "response_id": "resp"},
    ]
    refused = 0
    for _ in range(60):
        talk = Talk(dialect)
        talk.check = lambda event: None  # tools are shown as they came, and these are no tools
        for event in events:
            event = {name: bent(value, chance) for name, value in event.items()} | {
                "type": event["type"],
                "event_id": "mine",
            }
            told = talk.take(talk.wire.text(json.dumps(event)))
            for each in told:
                if each["type"] == "error":
                    refused += 1
                    assert each["error"]["code"]
                    assert each["error"]["message"]
                    assert each["error"]["event_id"] == "mine"
        shown = talk.update()
        assert [each["type"] for each in shown] == ["session.updated"]
    assert refused > 60


def test_a_thousand_sessions_leave_nothing_behind():
    def count():
        gc.collect()
        return sum(type(thing) in (Session, ResponseInProgress) for thing in gc.get_objects())

    before = count()
    for seed in range(1000):
        talk = Talk("ga" if seed % 2 else "beta", start=False)
        talk.check = lambda event: None
        talk.take(talk.wire.start())
        talk.append(200)
        talk.happen(runner_events.SpeechStarted(0))
        talk.happen(runner_events.SpeechStopped(200))
    del talk
    assert count() == before
