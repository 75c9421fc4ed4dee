"""The user's turns: buffers audio, and makes an item of it when the client commits or speech ends."""

from voice.protocol import server_events
from voice.protocol.commands import DetectTurns, Listen
from voice.protocol.config import AudioFormat, ProtocolError
from voice.protocol.context import ConversationKeeper, SessionContext
from voice.protocol.conversation import Item, Part
from voice.protocol.transcripts import Transcripts


class InputBuffer:
    """Buffers appended audio. All positions are in ms of the audio appended since the session's start."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self.start_ms = 0.0
        self._audio = bytearray()

    def __len__(self) -> int:
        return len(self._audio)

    @property
    def ms(self) -> float:
        return len(self._audio) / self.audio_format.bytes_per_ms

    @property
    def end_ms(self) -> float:
        return self.start_ms + self.ms

    def append(self, audio: bytes) -> tuple[bytes, float]:
        """Append audio; return the samples that it completes, and their position. A piece may end within a sample."""
        start, before = self._whole(), len(self._audio)
        self._audio += audio
        end = self._whole()
        is_cut = start < before or end < len(self._audio)  # otherwise no copy is needed
        samples = bytes(self._audio[start:end]) if is_cut else audio
        return samples, self.start_ms + start / self.audio_format.bytes_per_ms

    def drop_until(self, ms: float) -> None:
        """Drop the audio before `ms`."""
        self._drop(self._offset(ms))

    def take(self, start_ms: float, end_ms: float) -> bytes:
        """Remove and return the audio between, in whole samples; all audio before it is dropped."""
        start, end = self._offset(start_ms), self._offset(end_ms)
        audio = bytes(self._audio[start:end])
        self._drop(end)
        return audio

    def clear(self) -> None:
        self._drop(len(self._audio))

    def change_format(self, audio_format: AudioFormat) -> None:
        """Clear the buffer and change its format."""
        self.clear()
        self.audio_format = audio_format

    def _offset(self, ms: float) -> int:
        frames = round((ms - self.start_ms) * self.audio_format.bytes_per_ms / self.audio_format.frame_bytes)
        return min(max(frames * self.audio_format.frame_bytes, 0), self._whole())

    def _whole(self) -> int:
        """Return the number of bytes in whole samples."""
        return len(self._audio) // self.audio_format.frame_bytes * self.audio_format.frame_bytes

    def _drop(self, count: int) -> None:
        del self._audio[:count]  # a bytearray drops its beginning without copying
        self.start_ms += count / self.audio_format.bytes_per_ms


class Turns:
    """Cuts the appended audio into turns, and commits each as an item."""

    def __init__(self, context: SessionContext, keeper: ConversationKeeper, transcripts: Transcripts) -> None:
        self._context = context
        self._keeper = keeper
        self._transcripts = transcripts
        self._buffer = InputBuffer(context.config.input_format)
        self._speech: str | None = None  # id of the item that the current speech will become; None: no speech
        self._speech_ms = 0.0  # the start of its audio, padding included
        self._fresh_ms = 0.0  # the end of the last turn: detector events before it are outdated

    @property
    def turn_is_open(self) -> bool:
        """Whether the buffer holds audio of an uncommitted turn."""
        return self._speech is not None or (self._context.config.turn_detection is None and len(self._buffer) > 0)

    def detect(self) -> None:
        """Restart turn detection with the current settings."""
        config = self._context.config
        self._context.sink.command(DetectTurns(config.turn_detection, config.input_format))

    def settings_changed(self) -> None:
        """Apply changed settings of turn detection or of the input's format."""
        if self._buffer.audio_format is not self._context.config.input_format:
            self._buffer.change_format(self._context.config.input_format)
        if self._context.config.turn_detection is None:
            self._speech = None
        self.detect()

    def append(self, audio: bytes) -> None:
        """Append audio. Raises ProtocolError, and keeps none of it, beyond the limits of an append or the buffer."""
        limits = self._context.limits
        if len(audio) > limits.append_bytes:
            raise ProtocolError(
                "audio_too_large", f"One append holds at most {limits.append_bytes} bytes of audio.", "audio"
            )
        if not audio:
            return
        if self._is_too_much(audio):
            self._make_room(audio)
        samples, at_ms = self._buffer.append(audio)
        if samples and self._context.config.turn_detection is not None:
            self._context.sink.command(Listen(samples, at_ms))

    def _make_room(self, audio: bytes) -> None:
        """Commit speech that has filled the buffer. Raises ProtocolError if the audio still does not fit."""
        if self._speech is not None:
            # Speech without a pause: the buffer becomes an item, and the speech continues in the next one.
            self._stop(self._speech, self._buffer.end_ms)
            self._start(self._buffer.start_ms)
        if self._is_too_much(audio):
            raise ProtocolError(
                "input_audio_buffer_full",
                f"The input audio buffer holds at most {self._context.limits.audio_seconds} seconds, and this append "
                "was not taken: commit or clear what is there.",
                "audio",
            )

    def _is_too_much(self, audio: bytes) -> bool:
        most = self._context.limits.audio_seconds * 1000 * self._buffer.audio_format.bytes_per_ms
        return len(self._buffer) + len(audio) > most

    def commit(self) -> None:
        """Commit the buffer for the client. Raises ProtocolError for too little audio, or too many transcriptions."""
        if self._buffer.ms < self._context.limits.commit_ms:
            raise ProtocolError(
                "input_audio_buffer_commit_empty",
                f"Error committing input audio buffer: buffer too small. Expected at least "
                f"{self._context.limits.commit_ms}ms of audio, but buffer only has {self._buffer.ms:.2f}ms of audio.",
            )
        self._transcripts.check_room(len(self._buffer), self._buffer.audio_format)
        item_id = self._speech or self._context.ids.new("item")
        self._commit(item_id, self._buffer.start_ms, self._buffer.end_ms)
        self._start_afresh()

    def clear(self) -> None:
        self._buffer.clear()
        self._context.sink.emit(server_events.AudioCleared())
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._speech = None
        self._fresh_ms = self._buffer.start_ms
        if self._context.config.turn_detection is not None:
            self.detect()

    def silence_heard(self, until_ms: float) -> Item | None:
        """Drop audio that is silent; return the turn that has ended, if detection was restarted within it."""
        detection = self._context.config.turn_detection
        if detection is None or until_ms <= self._fresh_ms:
            return None
        if self._speech is not None:
            return self.speech_stopped(until_ms)
        self._buffer.drop_until(until_ms - detection.prefix_padding_ms)
        return None

    def speech_started(self, at_ms: float) -> bool:
        """Start a turn. False if the event is outdated, or the speech is known already."""
        detection = self._context.config.turn_detection
        if detection is None or self._speech is not None or at_ms < self._fresh_ms:
            return False
        self._start(max(at_ms - detection.prefix_padding_ms, self._buffer.start_ms))
        return True

    def _start(self, at_ms: float) -> None:
        self._speech = self._context.ids.new("item")
        self._speech_ms = at_ms
        self._context.sink.emit(server_events.SpeechStarted(round(at_ms), self._speech))

    def speech_stopped(self, at_ms: float) -> Item | None:
        """End the current turn and return its item; None if the event is outdated."""
        if self._context.config.turn_detection is None or self._speech is None or at_ms <= self._speech_ms:
            return None
        return self._stop(self._speech, at_ms)

    def _stop(self, item_id: str, at_ms: float) -> Item:
        self._speech = None
        end_ms = min(at_ms, self._buffer.end_ms)
        self._context.sink.emit(server_events.SpeechStopped(round(end_ms), item_id))
        self._fresh_ms = end_ms
        return self._commit(item_id, self._speech_ms, end_ms)

    def _commit(self, item_id: str, start_ms: float, end_ms: float) -> Item:
        audio = self._buffer.take(start_ms, end_ms)
        item = Item(item_id, "message", "user", content=[Part("audio", None)])
        self._context.sink.emit(server_events.AudioCommitted(self._keeper.conversation.last_id, item_id))
        self._keeper.add(item)
        if self._transcripts.room_for(len(audio), self._buffer.audio_format):
            self._transcripts.begin(item, 0, audio, told=True)
        else:
            self._context.sink.emit(
                server_events.TranscriptionFailed(
                    item_id, 0, "too_many_transcriptions", "Too much speech waits to be transcribed already."
                )
            )
        return item
