"""A session in a test: what the client says, what happens, and what follows, checked against the openai SDK's types."""

import base64
import json
from typing import get_args

from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent as GAServerEvent

from voice.protocol import commands, runner_events
from voice.protocol.config import Limits, Models, SessionConfig
from voice.protocol.context import Ids
from voice.protocol.dialects import GA, Beta
from voice.protocol.wire import Wire

MODELS = Models(
    stt=frozenset({"whisper-1", "sphinx"}),
    llm=frozenset({"gpt-4o-realtime-preview", "echo"}),
    tts=frozenset({"tts-1", "espeak"}),
    voices={"espeak": frozenset({"en-us", "de"})},
)
BETA_NAMES = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
PCM_MS = 48  # bytes


def _by_type(union):
    args = get_args(union)
    members = get_args(args[0]) if not isinstance(args[0], type) else args
    return {get_args(member.model_fields["type"].annotation)[0]: member for member in members}


SDK_TYPES = {"ga": _by_type(GAServerEvent), "beta": _by_type(BetaServerEvent)}


def pcm(ms):
    return b"\x01\x00" * (PCM_MS // 2 * ms)


def b64(audio):
    return base64.b64encode(audio).decode()


class Talk:
    """Each method returns the events that followed, as the client gets them."""

    def __init__(self, dialect="ga", *, limits=None, start=True, **config):
        self.dialect = dialect
        defaults = {
            "model": "gpt-4o-realtime-preview",
            "stt_model": "whisper-1",
            "llm_model": "gpt-4o-realtime-preview",
            "tts_model": "tts-1",
            "voice": "alloy",
        }
        self.wire = Wire(
            dialect=GA() if dialect == "ga" else Beta(),
            config=SessionConfig(**{**defaults, **config}),
            models=MODELS,
            ids=Ids("t"),
            limits=limits or Limits(),
        )
        self.events = []
        self.commands = []
        if start:
            self.take(self.wire.start())

    def take(self, step):
        events = [json.loads(frame) for frame in step.frames]
        for event in events:
            self.check(event)
        self.events += events
        self.commands += step.commands
        return events

    def check(self, event):
        assert event["event_id"]
        if event["type"] == "transcription_session.updated":
            return  # the SDK's type of it wants a secret that only REST answers hold
        if self.dialect == "beta" and "session" in event:
            # The SDK's type of it lists OpenAI's models.
            event = {**event, "session": {**event["session"], "model": "gpt-4o-realtime-preview"}}
        SDK_TYPES[self.dialect][event["type"]].model_validate(event)

    def say(self, name, **fields):
        return self.take(self.wire.text(json.dumps({"type": name, **fields})))

    def happen(self, happening):
        return self.take(self.wire.runner_event(happening))

    def name(self, ga_name):
        return ga_name if self.dialect == "ga" else BETA_NAMES.get(ga_name, ga_name)

    def names(self, *ga_names):
        """The names of these events in the dialect; those that it has not are left out."""
        return [self.name(name) for name in ga_names if self.dialect == "ga" or name != "conversation.item.done"]

    def ordered(self, kind):
        """The commands of a kind so far."""
        return [command for command in self.commands if isinstance(command, kind)]

    # What tests often do

    def by_hand(self):
        """Turn detection off."""
        off = {"audio": {"input": {"turn_detection": None}}} if self.dialect == "ga" else {"turn_detection": None}
        return self.update(**off)

    def update(self, **session):
        if self.dialect == "ga":
            session = {"type": "realtime", **session}
        return self.say("session.update", session=session)

    def append(self, ms):
        return self.say("input_audio_buffer.append", audio=b64(pcm(ms)))

    def spoken_item(self, text="Hello there.", ms=1000):
        """A turn by hand, transcribed. Returns the item's id."""
        self.append(ms)
        item_id = self.say("input_audio_buffer.commit")[0]["item_id"]
        self.happen(runner_events.Transcribed(item_id, 0, text, ms / 1000))
        return item_id

    def text_item(self, text, role="user", **item):
        kind = {"user": "input_text", "system": "input_text", "assistant": "text"}[role]
        content = [{"type": kind, "text": text}]
        return self.say("conversation.item.create", item={"type": "message", "role": role, "content": content, **item})

    def respond(self, **response):
        """Ask for an answer. Returns its id."""
        events = self.say("response.create", response=response)
        assert events[0]["type"] == "response.created", events
        return events[0]["response"]["id"]

    def speak(self, response_id, *sentences):
        """The chat model writes the sentences, and each is spoken: (text, ms)."""
        events = []
        for text, ms in sentences:
            events += self.happen(runner_events.ChatText(response_id, text))
            events += self.happen(runner_events.SentenceStarted(response_id, text))
            events += self.happen(runner_events.SpeechAudio(response_id, pcm(ms)))
        return events

    def answer(self, *sentences):
        """A whole answer. Returns its item."""
        response_id = self.respond()
        self.speak(response_id, *sentences)
        return self.happen(runner_events.ResponseFinished(response_id))[-1]["response"]["output"][0]

    def context(self, **response):
        """What the chat model would be told now: (role, text) pairs."""
        response_id = self.respond(**response)
        told = self.ordered(commands.StartResponse)[-1]
        assert told.response_id == response_id
        self.happen(runner_events.ResponseFinished(response_id))
        return [(message.role, message.text) for message in told.messages]


def types(events):
    return [event["type"] for event in events]


def error(events):
    assert types(events) == ["error"], events
    return events[0]["error"]
