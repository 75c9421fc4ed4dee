"""Responses: at most one of the conversation at a time, and a few out of band."""

from dataclasses import dataclass, field

from voice.protocol import client_events, runner_events, server_events
from voice.protocol.commands import CancelResponse, Message, StartResponse
from voice.protocol.config import ProtocolError
from voice.protocol.context import ConversationKeeper, SessionContext
from voice.protocol.conversation import Item, Part, SpokenAudio
from voice.protocol.server_events import CancelReason, Response
from voice.protocol.session_update import known_voice
from voice.protocol.transcripts import Speech, Transcripts


class ResponseOutput:
    """Reports a response's text and audio to the client, as its one item."""

    def __init__(self, context: SessionContext, keeper: ConversationKeeper, response: Response) -> None:
        self._context = context
        self._keeper = keeper
        self._response = response
        self._text: list[str] = []

    def text(self, delta: str) -> None:
        item = self._item()
        self._text.append(delta)
        if self._response.modality == "text":
            self._context.sink.emit(server_events.TextDelta(self._response.id, item.id, delta))
        else:
            self._context.sink.emit(server_events.TranscriptDelta(self._response.id, item.id, delta))

    def sentence(self, text: str) -> None:
        """Note that the following audio speaks `text`."""
        spoken = self._item().spoken
        if spoken is not None:
            spoken.begin(text)

    def audio(self, audio: bytes) -> None:
        item = self._item()
        if item.spoken is not None:
            item.spoken.add(len(audio) / self._response.output_format.bytes_per_ms)
            self._context.sink.emit(server_events.AudioDelta(self._response.id, item.id, audio))

    def end(self) -> None:
        """Complete the item, if there is one, as the response's status says."""
        response = self._response
        item = response.item
        if item is None:
            return
        text = self._final_text(item)
        item.content[0].text = text
        if response.modality == "audio":
            self._context.sink.emit(server_events.AudioDone(response.id, item.id))
            self._context.sink.emit(server_events.TranscriptDone(response.id, item.id, text))
        else:
            self._context.sink.emit(server_events.TextDone(response.id, item.id, text))
        item.status = "completed" if response.status == "completed" else "incomplete"
        self._context.sink.emit(server_events.ContentPartDone(response.id, item.id, response.modality, text))
        self._context.sink.emit(server_events.OutputItemDone(response.id, item))
        if item in self._keeper.conversation:
            self._keeper.done(item)

    def _final_text(self, item: Item) -> str:
        """Return the item's text: all of it for a completed response, the part that was spoken for a cancelled or
        failed one, and the part that was heard where the client has truncated it."""
        spoken = item.spoken
        if spoken is None:
            return "".join(self._text)
        if spoken.is_cut:
            return item.text
        if self._response.status in ("cancelled", "failed"):
            return spoken.cut(spoken.ms)
        spoken.end()
        return "".join(self._text)

    def _item(self) -> Item:
        """Return the response's item, which the first text or audio creates."""
        response = self._response
        if response.item is not None:
            return response.item
        item = Item(self._context.ids.new("item"), "message", "assistant", status="in_progress")
        if response.modality == "audio":
            item.spoken = SpokenAudio()
        response.item = item
        self._context.sink.emit(server_events.OutputItemAdded(response.id, item))
        if response.conversation_id is not None:
            self._keeper.add(item)
        item.content.append(Part(response.modality, ""))
        self._context.sink.emit(server_events.ContentPartAdded(response.id, item.id, response.modality))
        return item


@dataclass(eq=False)
class ResponseInProgress:
    """A response from its creation to its end; at first it may wait for transcripts."""

    response: Response
    instructions: str
    context: list[Item]  # as it was when the response was created
    detached: frozenset[Item]  # items of the context that the client provided for this response only
    output: ResponseOutput
    turn: Item | None = None  # the turn that it answers, if turn detection created it
    waits: set[Speech] = field(default_factory=set)  # speech whose transcript it waits for
    started: bool = False  # StartResponse was sent


class Responses:
    """Creates, updates and ends the session's responses."""

    def __init__(self, context: SessionContext, keeper: ConversationKeeper, transcripts: Transcripts) -> None:
        self._context = context
        self._keeper = keeper
        self._transcripts = transcripts
        self._running: dict[str, ResponseInProgress] = {}
        self.rate_limits: tuple[runner_events.RateLimit, ...] = ()

    @property
    def active(self) -> Response | None:
        """The conversation's response in progress; None: there is none."""
        return next((each.response for each in self._running.values() if each.response.conversation_id), None)

    def create(self, options: client_events.ResponseOptions, turn: Item | None = None) -> None:
        """Create a response, which starts when the speech in its context is transcribed. Raises ProtocolError."""
        self._check_may_start(options)
        context, detached = self._input_items(options)
        response = self._new_response(options)
        running = ResponseInProgress(
            response=response,
            instructions=self._context.config.instructions if options.instructions is None else options.instructions,
            context=context,
            detached=frozenset(detached),
            output=ResponseOutput(self._context, self._keeper, response),
            turn=turn,
        )
        self._running[response.id] = running
        self._context.sink.emit(server_events.ResponseCreated(response))
        self._context.sink.emit(server_events.RateLimitsUpdated(self.rate_limits))
        for item, audio in detached.items():
            for content_index, recording in audio:
                self._transcripts.begin(item, content_index, recording, told=False)
        running.waits = self._transcripts.waiting_for(context)
        self._start_if_ready(running)

    def _check_may_start(self, options: client_events.ResponseOptions) -> None:
        if self._context.config.kind == "transcription":
            raise ProtocolError("invalid_event", "A transcription session gives no responses.", "type")
        active = self.active
        if options.in_conversation and active:
            raise ProtocolError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {active.id}. Wait until the response is "
                "finished before creating a new one.",
            )
        beside = len(self._running) - (active is not None)
        if not options.in_conversation and beside >= self._context.limits.out_of_band_responses:
            raise ProtocolError(
                "too_many_responses", f"{beside} responses out of band are in progress already: wait until one is done."
            )

    def _input_items(
        self, options: client_events.ResponseOptions
    ) -> tuple[list[Item], dict[Item, list[tuple[int, bytes]]]]:
        """Return the response's context, and the untranscribed audio of items that the client provided with it.

        Raises ProtocolError.
        """
        if options.input is None:
            return list(self._keeper.conversation), {}
        context = []
        detached: dict[Item, list[tuple[int, bytes]]] = {}
        for place, entry in enumerate(options.input):
            if isinstance(entry, client_events.ItemReference):
                known = self._keeper.conversation.get(entry.item_id)
                if known is None:
                    raise ProtocolError(
                        "item_not_found",
                        f"The conversation has no item {entry.item_id[:100]!r}.",
                        f"response.input[{place}].id",
                    )
                context.append(known)
            else:
                # With the client's id it could be taken for an item of the conversation.
                item, audio = item_of(entry, self._context.ids.new("item"))
                context.append(item)
                detached[item] = audio
        limits = self._context.limits
        if len(context) > limits.items or sum(item.chars for item in context) > limits.text_chars:
            raise ProtocolError(
                "invalid_value",
                f"The input holds at most {limits.items} items with {limits.text_chars} characters.",
                "response.input",
            )
        recordings = [recording for audio in detached.values() for _, recording in audio]
        if recordings:
            self._transcripts.check_room(sum(map(len, recordings)), self._context.config.input_format, len(recordings))
        return context, detached

    def _new_response(self, options: client_events.ResponseOptions) -> Response:
        config = self._context.config
        voice = config.voice
        if options.voice is not None:
            voice = known_voice(options.voice, config.tts_model, self._context.models, voice)
        most = config.max_output_tokens if options.max_output_tokens is None else options.max_output_tokens
        return Response(
            id=self._context.ids.new("resp"),
            conversation_id=self._context.conversation_id if options.in_conversation else None,
            llm_model=config.llm_model,
            tts_model=config.tts_model,
            modality=options.modality or config.modality,
            voice=voice,
            speed=config.speed,
            output_format=options.output_format or config.output_format,
            temperature=config.temperature if options.temperature is None else options.temperature,
            max_output_tokens=None if most == "inf" else most,
            metadata=options.metadata,
        )

    def text_known(self, speech: Speech) -> None:
        """Start the responses that waited only for this transcript, which is known or not needed any more."""
        for running in list(self._running.values()):
            if speech in running.waits:
                running.waits.discard(speech)
                self._start_if_ready(running)

    def text_failed(self, speech: Speech, message: str) -> None:
        """Fail the responses that wait for this transcript: without it they would answer something else."""
        for running in list(self._running.values()):
            if speech in running.waits:
                self._fail(running, "transcription_failed", message)

    def _start_if_ready(self, running: ResponseInProgress) -> None:
        if running.waits:
            return
        if running.turn is not None and not running.turn.text:
            self._end(running)  # the turn was noise: there is nothing to answer
            return
        running.started = True
        response = running.response
        self._context.sink.command(
            StartResponse(
                response_id=response.id,
                messages=self._messages(running),
                llm_model=response.llm_model,
                modality=response.modality,
                tts_model=response.tts_model,
                voice=response.voice,
                speed=response.speed,
                output_format=response.output_format,
                max_output_tokens=response.max_output_tokens,
                temperature=response.temperature,
            )
        )

    def _messages(self, running: ResponseInProgress) -> tuple[Message, ...]:
        """Return the context as messages, without items that were deleted meanwhile."""
        conversation = self._keeper.conversation
        messages = [Message("system", running.instructions)] if running.instructions else []
        for item in running.context:
            if item.role and item.text and (item in conversation or item in running.detached):
                messages.append(Message(item.role, item.text))
        return tuple(messages)

    def chat_text(self, event: runner_events.ChatText) -> None:
        if event.delta and (running := self._running.get(event.response_id)):
            running.output.text(event.delta)

    def sentence_started(self, event: runner_events.SentenceStarted) -> None:
        if running := self._running.get(event.response_id):
            running.output.sentence(event.text)

    def audio(self, event: runner_events.SpeechAudio) -> None:
        if event.audio and (running := self._running.get(event.response_id)):
            running.output.audio(event.audio)

    def usage(self, event: runner_events.ResponseUsage) -> None:
        if running := self._running.get(event.response_id):
            running.response.input_tokens = event.input_tokens
            running.response.output_tokens = event.output_tokens

    def finished(self, event: runner_events.ResponseFinished) -> None:
        if running := self._running.get(event.response_id):
            if event.incomplete:
                running.response.status, running.response.reason = "incomplete", "max_output_tokens"
            self._end(running)

    def failed(self, event: runner_events.ResponseFailed) -> None:
        if running := self._running.get(event.response_id):
            self._fail(running, event.code, event.message)

    def cancel(self, response_id: str | None, reason: CancelReason = "client_cancelled") -> None:
        """Cancel a response (None: the conversation's). Raises ProtocolError if it is not in progress."""
        if response_id is None:
            active = self.active
            response_id = active.id if active else ""
        running = self._running.get(response_id)
        if running is None:
            raise ProtocolError("response_cancel_not_active", "Cancellation failed: no active response found")
        running.response.status, running.response.reason = "cancelled", reason
        self._end(running)
        self._stop(running)

    def fail_all(self, code: str, message: str) -> None:
        """Fail and stop all responses in progress."""
        for running in list(self._running.values()):
            self._fail(running, code, message)
            self._stop(running)

    def _fail(self, running: ResponseInProgress, code: str, message: str) -> None:
        response = running.response
        response.status, response.error_code, response.error_message = "failed", code, message
        self._end(running)

    def _stop(self, running: ResponseInProgress) -> None:
        if running.started:
            self._context.sink.command(CancelResponse(running.response.id))

    def _end(self, running: ResponseInProgress) -> None:
        """Report the end of a response, as its status says; one that is still in progress is completed."""
        response = running.response
        del self._running[response.id]
        for item in running.detached:
            self._transcripts.forget(item)
        if response.status == "in_progress":
            response.status = "completed"
        running.output.end()
        self._context.sink.emit(server_events.ResponseDone(response))


def item_of(new: client_events.NewItem, item_id: str) -> tuple[Item, list[tuple[int, bytes]]]:
    """Make an item from a client's description; also return its audio without a transcript, by the part's index."""
    content = [Part(part.kind, part.text) for part in new.content]
    audio = [(index, part.audio) for index, part in enumerate(new.content) if part.kind == "audio" and part.audio]
    item = Item(item_id, new.type, new.role, content=content, unused=new.unused or {})
    return item, [(index, recording) for index, recording in audio if content[index].text is None]
