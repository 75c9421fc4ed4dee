"""One session: handles the events of its client and of its runner, one after another."""

from voice.protocol import client_events, runner_events, server_events
from voice.protocol.commands import Close
from voice.protocol.config import Limits, Models, ProtocolError, SessionConfig
from voice.protocol.context import ConversationKeeper, EventSink, Ids, SessionContext
from voice.protocol.conversation import START, Item
from voice.protocol.responses import Responses, item_of
from voice.protocol.session_update import updated
from voice.protocol.transcripts import Transcripts
from voice.protocol.turns import Turns

GOING_AWAY = 1001
RESTARTING = 1012
ENDS = {
    "idle": ("The session was idle for too long.", GOING_AWAY),
    "expired": ("Your session hit the maximum duration.", GOING_AWAY),
    "restart": ("The server restarts: connect again.", RESTARTING),
}


class Session:
    """The state machine. `handle` takes one event at a time; all output goes to `sink` before it returns."""

    def __init__(self, *, config: SessionConfig, models: Models, ids: Ids, limits: Limits, sink: EventSink) -> None:
        self.id = ids.new("sess")
        self.closed = False
        self._context = SessionContext(
            sink=sink,
            ids=ids,
            limits=limits,
            models=models,
            defaults=config,
            config=config,
            conversation_id=ids.new("conv"),
        )
        self._keeper = ConversationKeeper(self._context, self._forget)
        self._transcripts = Transcripts(self._context)
        self._responses = Responses(self._context, self._keeper, self._transcripts)
        self._turns = Turns(self._context, self._keeper, self._transcripts)

    def start(self) -> None:
        self._context.sink.emit(server_events.SessionCreated(self.id, self._context.config))
        if self._context.config.turn_detection is not None:
            self._turns.detect()

    def handle(self, event: client_events.ClientEvent | runner_events.RunnerEvent) -> None:
        """Handle one event. Never raises: a client's invalid event is answered by an error event.

        Once the session is closed, events are ignored.
        """
        if self.closed:
            return
        if not isinstance(event, client_events.ClientEvent):
            self._handle_runner_event(event)
            return
        try:
            self._handle_client_event(event)
        except ProtocolError as error:
            self._context.sink.emit(server_events.Error(error.code, str(error), error.param, event.event_id))

    def _handle_client_event(self, event: client_events.ClientEvent) -> None:
        match event:
            case client_events.AppendAudio(audio=audio):
                self._turns.append(audio)
            case client_events.CommitAudio():
                self._turns.commit()
            case client_events.ClearAudio():
                self._turns.clear()
            case client_events.UpdateSession(patch=patch):
                self._update(patch)
            case client_events.CreateItem():
                self._create_item(event)
            case client_events.RetrieveItem(item_id=item_id):
                self._context.sink.emit(server_events.ItemRetrieved(self._item(item_id, "retrieve")))
            case client_events.TruncateItem():
                self._truncate(event)
            case client_events.DeleteItem(item_id=item_id):
                self._delete(item_id)
            case client_events.CreateResponse(options=options):
                self._responses.create(options)
            case client_events.CancelResponse(response_id=response_id):
                self._responses.cancel(response_id)

    def _handle_runner_event(self, event: runner_events.RunnerEvent) -> None:
        match event:
            case runner_events.SpeechAudio():
                self._responses.audio(event)
            case runner_events.SilenceHeard(until_ms=until_ms):
                self._answer_turn(self._turns.silence_heard(until_ms))
            case runner_events.SpeechStarted(at_ms=at_ms):
                self._speech_started(at_ms)
            case runner_events.SpeechStopped(at_ms=at_ms):
                self._answer_turn(self._turns.speech_stopped(at_ms))
            case runner_events.TranscriptionDelta():
                self._transcripts.delta(event)
            case runner_events.Transcribed():
                self._transcribed(event)
            case runner_events.TranscriptionFailed():
                if self._transcripts.failed(event):
                    self._responses.text_failed((event.item_id, event.content_index), event.message)
            case runner_events.ChatText():
                self._responses.chat_text(event)
            case runner_events.SentenceStarted():
                self._responses.sentence_started(event)
            case runner_events.ResponseUsage():
                self._responses.usage(event)
            case runner_events.ResponseFinished():
                self._responses.finished(event)
            case runner_events.ResponseFailed():
                self._responses.failed(event)
            case runner_events.RateLimitsKnown(rate_limits=rate_limits):
                self._responses.rate_limits = rate_limits
            case runner_events.RunnerError(code=code, message=message):
                self._context.sink.emit(server_events.Error(code, message, kind="server_error"))
            case runner_events.TimeUp(reason=reason):
                self._end(reason)

    def _item(self, item_id: str, wanted_to: str) -> Item:
        """Return an item of the conversation. Raises ProtocolError if there is none of this id."""
        item = self._keeper.conversation.get(item_id)
        if item is None:
            raise ProtocolError(
                f"item_{wanted_to}_invalid_item_id",  # OpenAI's error codes
                f"The conversation has no item {item_id[:100]!r}.",
                "item_id",
            )
        return item

    def _update(self, patch: client_events.SessionPatch) -> None:
        before = self._context.config
        now = updated(before, patch, models=self._context.models, defaults=self._context.defaults)
        if now.input_format is not before.input_format and self._turns.turn_is_open:
            raise ProtocolError(
                "invalid_value",
                "The input's format cannot change while the input audio buffer holds a turn: commit or clear it first.",
                "session.input_format",
            )
        self._context.config = now
        self._context.sink.emit(server_events.SessionUpdated(self.id, now))
        if (now.turn_detection, now.input_format) != (before.turn_detection, before.input_format):
            self._turns.settings_changed()

    def _create_item(self, event: client_events.CreateItem) -> None:
        conversation = self._keeper.conversation
        if event.item.id and conversation.get(event.item.id):
            raise ProtocolError(
                "item_create_duplicate_item_id", f"There is an item {event.item.id[:100]!r} already.", "item.id"
            )
        previous = event.previous_item_id
        if previous not in (None, START) and conversation.get(previous) is None:
            raise ProtocolError(
                "item_create_invalid_previous_item_id",
                f"There is no item {previous[:100]!r} to come after.",
                "previous_item_id",
            )
        item, audio = item_of(event.item, event.item.id or self._context.ids.new("item"))
        if item.chars > self._context.limits.text_chars:
            raise ProtocolError(
                "invalid_value", f"An item holds at most {self._context.limits.text_chars} characters.", "item"
            )
        if audio:
            size = sum(len(recording) for _, recording in audio)
            self._transcripts.check_room(size, self._context.config.input_format, len(audio))
        self._keeper.add(item, previous)
        for content_index, recording in audio:
            self._transcripts.begin(item, content_index, recording, told=True)

    def _truncate(self, event: client_events.TruncateItem) -> None:
        item = self._item(event.item_id, "truncate")
        if item.spoken is None:
            raise ProtocolError("invalid_value", "Only model output audio messages can be truncated.", "item_id")
        if event.content_index != 0:
            raise ProtocolError("invalid_value", "The message has one part, of index 0.", "content_index")
        length = item.spoken.ms
        if event.audio_end_ms > length + 1:  # a client may round up
            raise ProtocolError(
                "invalid_value",
                f"Audio content of {int(length)}ms is already shorter than {event.audio_end_ms}ms",
                "audio_end_ms",
            )
        item.content[0].text = item.spoken.cut(event.audio_end_ms)
        self._keeper.conversation.weigh(item)
        self._context.sink.emit(server_events.ItemTruncated(item.id, 0, event.audio_end_ms))

    def _delete(self, item_id: str) -> None:
        item = self._item(item_id, "delete")
        if item.status == "in_progress":
            raise ProtocolError(
                "item_in_progress", "The item is still being made: cancel its response first.", "item_id"
            )
        self._keeper.delete(item)

    def _forget(self, item: Item) -> None:
        for speech in self._transcripts.forget(item):
            self._responses.text_known(speech)

    def _speech_started(self, at_ms: float) -> None:
        if not self._turns.speech_started(at_ms):
            return
        detection = self._context.config.turn_detection
        active = self._responses.active
        if active and detection and detection.interrupt_response:
            self._responses.cancel(active.id, "turn_detected")

    def _answer_turn(self, turn: Item | None) -> None:
        """Create a response to a turn that turn detection has ended, if the settings ask for it."""
        detection = self._context.config.turn_detection
        wanted = detection is not None and detection.create_response and self._context.config.kind == "realtime"
        if turn is not None and wanted and self._responses.active is None:
            self._responses.create(client_events.ResponseOptions(), turn)

    def _transcribed(self, event: runner_events.Transcribed) -> None:
        item = self._transcripts.completed(event)
        if item is None:
            return
        if item in self._keeper.conversation:
            self._keeper.keep_within_limits(item)
        self._responses.text_known((event.item_id, event.content_index))

    def _end(self, reason: str) -> None:
        message, code = ENDS[reason]
        self._responses.fail_all("session_expired", message)
        self._context.sink.emit(server_events.Error("session_expired", message))
        self._context.sink.command(Close(code, message))
        self.closed = True
