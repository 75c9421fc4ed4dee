"""Responses: the chat model writes the text, and each sentence is spoken while the next ones are written."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from core.text import whole_letters
from gateway.audio.transcode import in_encoding
from gateway.catalog import ModelTarget
from gateway.usage.metering import Usage
from providers.adapters.base import (
    CapabilityNotSupported,
    ChatMessage,
    ChatModel,
    ChatPart,
    ChatRequest,
    ProviderError,
    SpeechPart,
    SpeechRequest,
    StreamingSynthesizer,
    as_synthesizer,
)
from providers.reasons import Reason
from voice.audio import pcm
from voice.protocol.commands import StartResponse
from voice.protocol.config import AudioFormat
from voice.protocol.runner_events import (
    ChatText,
    ResponseFailed,
    ResponseFinished,
    ResponseUsage,
    RunnerEvent,
    SentenceStarted,
    SpeechAudio,
)
from voice.provider_calls import Caller, Problem, first_that_answers, problem_of
from voice.sentence_splitter import SentenceSplitter, is_speakable
from voice.turn_metrics import TurnLog

VOICES_AT_ONCE = 2  # sentences synthesized at once: one is sent while the next one is made
PIECES_AHEAD = 16  # queued pieces of a sentence's audio
DELTA_MS = 200  # longest piece of audio in one event


class SpokenSentence:
    """One sentence and its audio, from the synthesizer to the client."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._audio: asyncio.Queue[bytes | ProviderError | None] = asyncio.Queue(PIECES_AHEAD)

    async def fill(self, audio: AsyncGenerator[bytes, None]) -> None:
        """Queue the synthesizer's audio, and its error if it fails."""
        try:
            async with aclosing(audio):
                async for piece in audio:
                    await self._audio.put(piece)
            await self._audio.put(None)
        except ProviderError as error:
            await self._audio.put(error)

    async def audio(self) -> AsyncGenerator[bytes, None]:
        """Yield the audio in order; raises the synthesizer's ProviderError after the audio that came before it."""
        while (piece := await self._audio.get()) is not None:
            if isinstance(piece, ProviderError):
                raise piece
            yield piece


class Answer:
    """One response in progress. Cancelling `run` closes the providers' streams."""

    def __init__(
        self,
        caller: Caller,
        command: StartResponse,
        log: TurnLog,
        tell: Callable[[RunnerEvent], None],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        """`room` waits until the client has read most of what was sent."""
        self._caller, self._command, self._log, self._tell, self._room = caller, command, log, tell, room
        self._voices = asyncio.Semaphore(0)  # none before the synthesis is reserved
        self._incomplete = False

    async def run(self) -> Problem | None:
        """Produce the whole response; return why it failed, or None."""
        try:
            await self._caller.authenticate()
            await (self._write_and_speak() if self._command.modality == "audio" else self._write(lambda text: None))
        except Exception as error:
            problem = problem_of(error, self._command.llm_model)
            self._tell(ResponseFailed(self._command.response_id, problem.code, problem.message))
            return problem
        self._tell(ResponseFinished(self._command.response_id, incomplete=self._incomplete))
        return None

    @property
    def incomplete(self) -> bool:
        """Whether the chat model stopped at its output limit."""
        return self._incomplete

    # --- written ----------------------------------------------------------------------------------

    async def _write(self, on_text: Callable[[str], None], on_end: Callable[[], None] = lambda: None) -> None:
        """Stream the chat model's text to the session. Raises ApiError and ProviderError."""
        command = self._command
        targets = self._caller.catalog.find_for("chat", command.llm_model)
        request = ChatRequest(
            tuple(ChatMessage(message.role, message.text) for message in command.messages),
            temperature=command.temperature,
            max_output_tokens=command.max_output_tokens,
        )
        async with self._caller.metered("chat", command.llm_model) as usage:
            self._log.asks_chat(command.llm_model)
            parts = first_that_answers(usage, targets, lambda target: _chat(target, request))
            async with aclosing(parts):
                async for part in parts:
                    self._note(part, usage)
                    if text := whole_letters(part.text):
                        self._log.first_text()
                        self._tell(ChatText(command.response_id, text))
                        on_text(text)
                        await self._room()
            on_end()  # before the usage is settled, so that speech does not wait for it

    def _note(self, part: ChatPart, usage: Usage) -> None:
        self._incomplete = self._incomplete or part.truncated
        if part.input_tokens is not None or part.output_tokens is not None:
            usage.input_tokens, usage.output_tokens = part.input_tokens, part.output_tokens
            self._tell(ResponseUsage(self._command.response_id, part.input_tokens, part.output_tokens))

    # --- spoken -----------------------------------------------------------------------------------

    async def _write_and_speak(self) -> None:
        targets = self._caller.catalog.find_for("tts", self._command.tts_model)
        # Without a bound: sentences that wait to be spoken are only text.
        lines: asyncio.Queue[SpokenSentence | None] = asyncio.Queue()
        usage: asyncio.Future[Usage] = asyncio.get_running_loop().create_future()
        sentences = SentenceSplitter()
        async with asyncio.TaskGroup() as group:

            def speak(text: str) -> None:
                line = SpokenSentence(text)
                lines.put_nowait(line)
                if is_speakable(text):
                    group.create_task(self._speak(line, targets, usage))

            def on_text(text: str) -> None:
                for sentence in sentences.push(text):
                    speak(sentence)

            def on_end() -> None:
                if rest := sentences.rest():
                    speak(rest)
                lines.put_nowait(None)

            group.create_task(self._write(on_text, on_end))
            async with self._caller.metered("tts", self._command.tts_model) as reserved:
                usage.set_result(reserved)
                for _ in range(VOICES_AT_ONCE):
                    self._voices.release()
                while (next_line := await lines.get()) is not None:
                    await self._play(next_line)

    async def _speak(self, line: SpokenSentence, targets: list[ModelTarget], reserved: "asyncio.Future[Usage]") -> None:
        """Synthesize the sentence when it is its turn."""
        await self._voices.acquire()
        usage = await reserved
        usage.characters = (usage.characters or 0) + len(line.text)
        command = self._command
        request = SpeechRequest(line.text.strip(), voice=command.voice, speed=command.speed, encoding="pcm")
        self._log.asks_voice(command.tts_model)
        parts = first_that_answers(usage, targets, lambda target: _speech(target, request, usage))
        await line.fill(in_deltas(in_encoding(parts, "pcm"), command.output_format))

    async def _play(self, line: SpokenSentence) -> None:
        """Send the sentence's audio to the session, and let the next synthesis begin."""
        self._tell(SentenceStarted(self._command.response_id, line.text))
        if not is_speakable(line.text):
            return
        async with aclosing(line.audio()) as pieces:
            async for piece in pieces:
                self._log.spoke(pcm.seconds(piece, self._command.output_format))
                self._tell(SpeechAudio(self._command.response_id, piece))
                await self._room()
        self._voices.release()


async def in_deltas(samples: AsyncGenerator[bytes, None], audio_format: AudioFormat) -> AsyncGenerator[bytes, None]:
    """Convert 16-bit samples at 24 kHz, cut anywhere, to pieces of at most 200 ms in `audio_format`."""
    resampler = pcm.Resampler(AudioFormat.PCM16.sample_rate, audio_format.sample_rate)
    longest = DELTA_MS * audio_format.bytes_per_ms
    rest = b""
    async with aclosing(samples):
        async for piece in samples:
            piece = rest + piece
            whole = len(piece) // 2 * 2
            piece, rest = piece[:whole], piece[whole:]
            audio = pcm.encode(resampler.push(pcm.decode(piece, AudioFormat.PCM16)), audio_format)
            for start in range(0, len(audio), longest):
                yield audio[start : start + longest]
    if audio := pcm.encode(resampler.flush(), audio_format):
        yield audio


async def _chat(target: ModelTarget, request: ChatRequest) -> AsyncGenerator[ChatPart, None]:
    if not isinstance(target.adapter, ChatModel):
        raise CapabilityNotSupported(f"Providers of the kind {target.adapter.kind!r} do not chat.")
    async with aclosing(target.adapter.stream_chat(target.config, request)) as parts:
        async for part in parts:
            yield part


async def _speech(target: ModelTarget, request: SpeechRequest, usage: Usage) -> AsyncGenerator[SpeechPart, None]:
    """Stream the sentence's speech, in one piece if the provider cannot stream; its tokens are added to `usage`."""
    heard = False
    if isinstance(target.adapter, StreamingSynthesizer):
        async with aclosing(target.adapter.stream_speech(target.config, request)) as parts:
            async for part in parts:
                _add_tokens(usage, part.input_tokens, part.output_tokens)
                heard = heard or bool(part.audio)
                yield part
    else:
        whole = await as_synthesizer(target.adapter).speak(target.config, request)
        _add_tokens(usage, whole.input_tokens, whole.output_tokens)
        heard = bool(whole.audio)
        yield SpeechPart(whole.audio, "wav", whole.sample_rate)
    if not heard:
        raise ProviderError(Reason.PROVIDER_ERROR, "The provider answered with no audio.", retryable=True)


def _add_tokens(usage: Usage, read: int | None, spoken: int | None) -> None:
    if read is not None:
        usage.input_tokens = (usage.input_tokens or 0) + read
    if spoken is not None:
        usage.output_tokens = (usage.output_tokens or 0) + spoken
