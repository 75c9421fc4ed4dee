"""Audio that was appended and is part of no turn yet."""

from gateway.realtime.core.config import AudioFormat


class InputBuffer:
    """Bytes with their place in time. All ms are of the audio appended since the session's start."""

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
        """The samples that are whole now, and where they start: audio may be cut in the middle of one."""
        start, before = self._whole(), len(self._audio)
        self._audio += audio
        end = self._whole()
        is_cut = start < before or end < len(self._audio)  # else nothing need be copied
        samples = bytes(self._audio[start:end]) if is_cut else audio
        return samples, self.start_ms + start / self.audio_format.bytes_per_ms

    def drop_until(self, ms: float) -> None:
        """Let go of what is older."""
        self._drop(self._offset(ms))

    def take(self, start_ms: float, end_ms: float) -> bytes:
        """The audio between, whole samples; it and all before it is gone from the buffer."""
        start, end = self._offset(start_ms), self._offset(end_ms)
        audio = bytes(self._audio[start:end])
        self._drop(end)
        return audio

    def clear(self) -> None:
        self._drop(len(self._audio))

    def change_format(self, audio_format: AudioFormat) -> None:
        """What was there is let go."""
        self.clear()
        self.audio_format = audio_format

    def _offset(self, ms: float) -> int:
        frames = round((ms - self.start_ms) * self.audio_format.bytes_per_ms / self.audio_format.frame_bytes)
        return min(max(frames * self.audio_format.frame_bytes, 0), self._whole())

    def _whole(self) -> int:
        """Bytes of whole samples."""
        return len(self._audio) // self.audio_format.frame_bytes * self.audio_format.frame_bytes

    def _drop(self, count: int) -> None:
        del self._audio[:count]  # from the front this moves nothing
        self.start_ms += count / self.audio_format.bytes_per_ms
