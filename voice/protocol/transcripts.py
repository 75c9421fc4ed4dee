"""Transcriptions in progress."""

from dataclasses import dataclass

from voice.protocol import runner_events, server_events
from voice.protocol.commands import CancelTranscription, Transcribe
from voice.protocol.config import AudioFormat, ProtocolError, Transcription
from voice.protocol.context import SessionContext
from voice.protocol.conversation import Item

Speech = tuple[str, int]  # an item's id, and the index of the part


@dataclass
class Pending:
    """A part whose transcript is not known yet."""

    item: Item
    size: int  # bytes of audio
    told: bool  # the client gets the transcript


class Transcripts:
    """Starts transcriptions, and puts their results into the items."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._pending: dict[Speech, Pending] = {}

    def room_for(self, size: int, audio_format: AudioFormat, count: int = 1) -> bool:
        """Whether `count` more parts of `size` bytes in total fit into the limits."""
        waiting = sum(pending.size for pending in self._pending.values())
        most = self._context.limits.audio_seconds * 1000 * audio_format.bytes_per_ms
        return len(self._pending) + count <= self._context.limits.transcriptions and waiting + size <= most

    def check_room(self, size: int, audio_format: AudioFormat, count: int = 1) -> None:
        """Raises ProtocolError if `room_for` is False."""
        if not self.room_for(size, audio_format, count):
            raise ProtocolError(
                "too_many_transcriptions", "Too much speech waits to be transcribed: wait until some of it is."
            )

    def begin(self, item: Item, content_index: int, audio: bytes, *, told: bool) -> None:
        """Start the transcription of a part's audio, with the session's current settings.

        `told`: the client gets the transcript, unless the session's settings switch that off.
        """
        config = self._context.config
        self._pending[item.id, content_index] = Pending(item, len(audio), told and config.transcription is not None)
        settings = config.transcription or Transcription()
        self._context.sink.command(
            Transcribe(
                item_id=item.id,
                content_index=content_index,
                audio=audio,
                input_format=config.input_format,
                stt_model=config.stt_model,
                language=settings.language,
                prompt=settings.prompt,
            )
        )

    def waiting_for(self, items: list[Item]) -> set[Speech]:
        """Return the parts of these items whose transcript is not known yet."""
        ids = {item.id for item in items}
        return {speech for speech in self._pending if speech[0] in ids}

    def delta(self, event: runner_events.TranscriptionDelta) -> None:
        pending = self._pending.get((event.item_id, event.content_index))
        if pending and pending.told and event.delta:
            self._context.sink.emit(server_events.TranscriptionDelta(event.item_id, event.content_index, event.delta))

    def completed(self, event: runner_events.Transcribed) -> Item | None:
        """Store a transcript and return its item; None: the item was deleted."""
        pending = self._pending.pop((event.item_id, event.content_index), None)
        if pending is None:
            return None
        pending.item.content[event.content_index].text = event.text.strip()
        if pending.told:
            self._context.sink.emit(
                server_events.TranscriptionCompleted(
                    item_id=event.item_id,
                    content_index=event.content_index,
                    transcript=event.text.strip(),
                    seconds=event.seconds,
                    input_tokens=event.input_tokens,
                    output_tokens=event.output_tokens,
                )
            )
        return pending.item

    def failed(self, event: runner_events.TranscriptionFailed) -> Item | None:
        """Leave a part without text and return its item; None: the item was deleted."""
        pending = self._pending.pop((event.item_id, event.content_index), None)
        if pending is None:
            return None
        if pending.told:
            self._context.sink.emit(
                server_events.TranscriptionFailed(event.item_id, event.content_index, event.code, event.message)
            )
        return pending.item

    def forget(self, item: Item) -> list[Speech]:
        """Cancel the transcriptions of a deleted item, and return which."""
        ended = [speech for speech, pending in self._pending.items() if pending.item is item]
        for item_id, content_index in ended:
            del self._pending[item_id, content_index]
            self._context.sink.command(CancelTranscription(item_id, content_index))
        return ended
