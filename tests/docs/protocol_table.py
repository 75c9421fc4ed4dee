"""The voice protocol as a table: what each input leads to in each state of a session, found out by trying all of them.

python -m tests.docs.protocol_table     prints it, for docs/architecture.md
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.voice.protocol.talk import Talk
from voice.protocol import runner_events
from voice.protocol.commands import StartResponse, Transcribe

HEAD = ["| input | state | the client is told | the runner is to |", "|---|---|---|---|"]
VAD = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
UNKNOWN = "unknown"


@dataclass
class Conversation:
    """A session in one of the states, and the ids that inputs refer to."""

    talk: Talk
    item: str  # of the user's, a text
    spoken: str  # of an answer that was spoken to its end
    said: str = UNKNOWN  # the turn that waits for its text
    response: str = UNKNOWN  # the one under way

    @classmethod
    def begin(cls, **session):
        talk = Talk("ga")
        talk.by_hand()
        item = talk.text_item("Hello.")[0]["item"]["id"]
        spoken = talk.answer(("Good day.", 300))["id"]
        if session:
            talk.update(**session)
        return cls(talk, item, spoken)


def by_hand():
    return Conversation.begin()


def by_hand_with_audio():
    conversation = by_hand()
    conversation.talk.append(1000)
    return conversation


def listening():
    return Conversation.begin(**VAD)


def speech():
    conversation = listening()
    conversation.talk.append(1000)
    conversation.talk.happen(runner_events.SpeechStarted(500))
    return conversation


def waiting():
    conversation = speech()
    events = conversation.talk.happen(runner_events.SpeechStopped(1000))
    conversation.said = conversation.talk.ordered(Transcribe)[-1].item_id
    [conversation.response] = [event["response"]["id"] for event in events if event["type"] == "response.created"]
    return conversation


def answering():
    conversation = waiting()
    conversation.talk.happen(runner_events.Transcribed(conversation.said, 0, "How are you?", 0.8))
    assert conversation.talk.ordered(StartResponse)[-1].response_id == conversation.response
    conversation.talk.speak(conversation.response, ("I am well.", 300))
    conversation.said = UNKNOWN
    return conversation


def closed():
    conversation = listening()
    conversation.talk.happen(runner_events.TimeUp("idle"))
    return conversation


STATES: dict[str, Callable[[], Conversation]] = {
    "by hand": by_hand,
    "by hand, audio": by_hand_with_audio,
    "listening": listening,
    "speech": speech,
    "waiting": waiting,
    "answering": answering,
    "closed": closed,
}

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And you?"}]}
BY_HAND = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}

INPUTS: dict[str, Callable[[Conversation], object]] = {
    "`session.update`, turn detection off": lambda c: c.talk.say("session.update", session=BY_HAND),
    "`input_audio_buffer.append`": lambda c: c.talk.append(100),
    "`input_audio_buffer.commit`": lambda c: c.talk.say("input_audio_buffer.commit"),
    "`input_audio_buffer.clear`": lambda c: c.talk.say("input_audio_buffer.clear"),
    "`conversation.item.create`": lambda c: c.talk.say("conversation.item.create", item=TEXT),
    "`conversation.item.retrieve`": lambda c: c.talk.say("conversation.item.retrieve", item_id=c.item),
    "`conversation.item.truncate`": lambda c: c.talk.say(
        "conversation.item.truncate", item_id=c.spoken, content_index=0, audio_end_ms=100
    ),
    "`conversation.item.delete`": lambda c: c.talk.say("conversation.item.delete", item_id=c.item),
    "`response.create`": lambda c: c.talk.say("response.create"),
    "`response.cancel`": lambda c: c.talk.say("response.cancel"),
    "SilenceHeard": lambda c: c.talk.happen(runner_events.SilenceHeard(1200)),
    "SpeechStarted": lambda c: c.talk.happen(runner_events.SpeechStarted(1200)),
    "SpeechStopped": lambda c: c.talk.happen(runner_events.SpeechStopped(1300)),
    "TranscriptionDelta": lambda c: c.talk.happen(runner_events.TranscriptionDelta(c.said, 0, "How")),
    "Transcribed": lambda c: c.talk.happen(runner_events.Transcribed(c.said, 0, "How are you?", 0.8)),
    "Transcribed, no words": lambda c: c.talk.happen(runner_events.Transcribed(c.said, 0, "", 0.8)),
    "TranscriptionFailed": lambda c: c.talk.happen(runner_events.TranscriptionFailed(c.said, 0, "failed", "No.")),
    "ChatText": lambda c: c.talk.happen(runner_events.ChatText(c.response, "Thanks.")),
    "SentenceStarted": lambda c: c.talk.happen(runner_events.SentenceStarted(c.response, "Thanks.")),
    "SpeechAudio": lambda c: c.talk.happen(runner_events.SpeechAudio(c.response, bytes(4800))),
    "ResponseUsage": lambda c: c.talk.happen(runner_events.ResponseUsage(c.response, 10, 5)),
    "ResponseFinished": lambda c: c.talk.happen(runner_events.ResponseFinished(c.response)),
    "ResponseFailed": lambda c: c.talk.happen(runner_events.ResponseFailed(c.response, "failed", "It failed.")),
    "RateLimitsKnown": lambda c: c.talk.happen(runner_events.RateLimitsKnown(())),
    "RunnerError": lambda c: c.talk.happen(runner_events.RunnerError("failed", "It failed.")),
    "TimeUp": lambda c: c.talk.happen(runner_events.TimeUp("expired")),
}
# Of a response that it was not told to start, the runner tells nothing.
OF_RESPONSES = ("ChatText", "SentenceStarted", "SpeechAudio", "ResponseUsage", "ResponseFinished", "ResponseFailed")
END_OF_OUTPUT = ", ".join(
    f"`{name}`"
    for name in (
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
    )
)


def outcome(state, name):
    """(what the client is told, what the runner is to do), as the table says it."""
    conversation = STATES[state]()
    before = len(conversation.talk.commands)
    events = INPUTS[name](conversation)
    commands = conversation.talk.commands[before:]
    answer = ", ".join(map(told, events)).replace(END_OF_OUTPUT, "*end of output*")
    return answer or "-", ", ".join(type(each).__name__ for each in commands) or "-"


def told(event):
    if event["type"] == "error":
        return f"`error` {event['error']['code']}"
    status = event["response"]["status"] if event["type"] == "response.done" else ""
    return f"`{event['type']}`" + (f" {status}" if status else "")


def rows():
    """The table's rows; states in which an input leads to the same are told together."""
    lines = []
    for name in INPUTS:
        by_outcome: dict[tuple[str, str], list[str]] = {}
        possible = [state for state in STATES if name not in OF_RESPONSES or state != "waiting"]
        for state in possible:
            by_outcome.setdefault(outcome(state, name), []).append(state)
        if len(by_outcome) > 1:
            by_outcome = {key: states for key, states in by_outcome.items() if key != ("-", "-")} or by_outcome
        for (events, commands), states in by_outcome.items():
            where = {len(possible): "any", len(possible) - 1: "any but closed"}.get(len(states)) or "; ".join(states)
            lines.append(f"| {name} | {where} | {events} | {commands} |")
    return HEAD + lines


if __name__ == "__main__":
    print(*rows(), sep="\n")  # noqa: T201
