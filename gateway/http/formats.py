"""Response formats of transcriptions (json, text, srt, verbose_json, vtt, diarized_json), all made from a
`Transcript`."""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from providers.adapters.base import TimedText, Transcription

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]

CONTENT_TYPES: dict[ResponseFormat, str] = {
    "json": "application/json",
    "verbose_json": "application/json",
    "diarized_json": "application/json",
    "text": "text/plain; charset=utf-8",
    "srt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}

# Segments that are made of words end after
PAUSE = 0.8  # seconds of silence, or at
LONGEST = 8.0  # seconds, or at
SENTENCE_END = re.compile(
    r"[.?!…\u3002\uff01\uff1f][\"')\]»\u201d\u2019]*\s*\Z"
)  # including Chinese and Japanese marks


@dataclass(frozen=True)
class Transcript:
    """A transcription with all that the response formats need."""

    task: Literal["transcribe", "translate"]
    text: str
    language: str  # empty: unknown
    duration: float  # seconds
    segments: tuple[TimedText, ...]  # empty only if the text is
    words: tuple[TimedText, ...]
    usage: dict[str, Any]
    temperature: float


def transcript_of(
    transcription: Transcription,
    *,
    task: Literal["transcribe", "translate"],
    duration: float,
    language: str,
    temperature: float,
) -> Transcript:
    """Make a `Transcript`. `duration`: of the audio, in seconds. `language`: used if the model reports none."""
    return Transcript(
        task=task,
        text=transcription.text,
        language=transcription.language or language,
        duration=duration,
        segments=transcription.segments
        or _segments_of_words(transcription)
        or _one_segment(transcription.text, duration),
        words=transcription.words,
        usage=usage_of(transcription, duration),
        temperature=temperature,
    )


def usage_of(transcription: Transcription, duration: float) -> dict[str, Any]:
    """Return the `usage` object: in tokens if the provider reports them, else in seconds."""
    if transcription.input_tokens is None or transcription.output_tokens is None:
        return duration_usage(duration)
    total = transcription.input_tokens + transcription.output_tokens
    return {
        "type": "tokens",
        "input_tokens": transcription.input_tokens,
        "output_tokens": transcription.output_tokens,
        "total_tokens": total,
    }


def duration_usage(duration: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(duration, 3)}


def as_object(transcript: Transcript, wanted: ResponseFormat, granularities: frozenset[str]) -> dict[str, Any]:
    """Return the body in json, in verbose_json with the timestamps in `granularities`, or in diarized_json without
    segments, which the caller adds."""
    if wanted == "verbose_json":
        return _verbose(transcript, granularities)
    if wanted == "diarized_json":
        duration = round(transcript.duration, 3)
        return {"task": transcript.task, "duration": duration, "text": transcript.text, "usage": transcript.usage}
    return {"text": transcript.text, "usage": transcript.usage}


def as_text(transcript: Transcript, wanted: ResponseFormat) -> bytes:
    """Return the body in text, srt or vtt."""
    if wanted == "srt":
        return "".join(_srt(transcript.segments)).encode()
    if wanted == "vtt":
        return "".join(["WEBVTT\n\n", *_vtt(transcript.segments)]).encode()
    return f"{transcript.text}\n".encode()


def _verbose(transcript: Transcript, granularities: frozenset[str]) -> dict[str, Any]:
    """Return the body in verbose_json. Values that are not known here, such as log probabilities, are null."""
    answer: dict[str, Any] = {
        "task": transcript.task,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
    }
    if "segment" in granularities:
        answer["segments"] = [
            {
                "id": number,
                "seek": 0,
                "start": segment.start,
                "end": segment.end,
                "text": segment.text,
                "tokens": [],
                "temperature": transcript.temperature,
                "avg_logprob": None,
                "compression_ratio": _compression_ratio(segment.text),
                "no_speech_prob": None,
            }
            for number, segment in enumerate(transcript.segments)
        ]
    if "word" in granularities and transcript.words:
        answer["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in transcript.words]
    return {**answer, "usage": duration_usage(transcript.duration)}


def _compression_ratio(text: str) -> float:
    """Return size / compressed size, as Whisper does: it is high where a model repeats itself."""
    raw = text.encode()
    return round(len(raw) / len(zlib.compress(raw)), 3)


# --- subtitles ------------------------------------------------------------------------------------


def _srt(segments: Sequence[TimedText]) -> Iterator[str]:
    for number, segment in enumerate(segments, start=1):
        start, end = _clock(segment.start, ","), _clock(segment.end, ",")
        yield f"{number}\n{start} --> {end}\n{_one_line(segment.text)}\n\n"


def _vtt(segments: Sequence[TimedText]) -> Iterator[str]:
    for segment in segments:
        text = _one_line(segment.text).replace("&", "&amp;").replace("<", "&lt;").replace("-->", "--&gt;")
        yield f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{text}\n\n"


def _one_line(text: str) -> str:
    """Join the lines: an empty line would end the subtitle."""
    return " ".join(text.split())


def _clock(seconds: float, point: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


# --- segments where the provider has none ------------------------------------------------------------


def _one_segment(text: str, duration: float) -> tuple[TimedText, ...]:
    """Return one segment over the whole audio; none without text."""
    return (TimedText(text.strip(), 0.0, round(duration, 3)),) if text.strip() else ()


def _segments_of_words(transcription: Transcription) -> tuple[TimedText, ...]:
    """Group the words into segments that end at a pause, at the end of a sentence, or after LONGEST seconds."""
    groups: list[list[int]] = []
    written = _written(transcription)
    for number, word in enumerate(transcription.words):
        if groups and not _ends_before(
            word, transcription.words[groups[-1][0]], transcription.words[number - 1], written[number - 1]
        ):
            groups[-1].append(number)
        else:
            groups.append([number])
    return tuple(
        TimedText(
            "".join(written[number] for number in group).strip(),
            transcription.words[group[0]].start,
            transcription.words[group[-1]].end,
        )
        for group in groups
    )


def _ends_before(word: TimedText, first: TimedText, last: TimedText, written: str) -> bool:
    """Whether a segment from `first` to `last` ends before `word`. `written`: the last word with what follows it."""
    return (
        word.start - last.end >= PAUSE or word.end - first.start > LONGEST or SENTENCE_END.search(written) is not None
    )


def _written(transcription: Transcription) -> list[str]:
    """Return each word as it is written in the text, with the punctuation and spaces after it, which timed words often
    lack.

    If the text does not contain the words in order, each word is returned with a space after it.
    """
    starts: list[int] = []
    at = 0
    for word in transcription.words:
        found = transcription.text.find(word.text.strip(), at)
        if found < 0:
            return [f"{word.text.strip()} " for word in transcription.words]
        starts.append(found)
        at = found + len(word.text.strip())
    ends = [*starts[1:], len(transcription.text)]
    return [
        transcription.text[start:end] for start, end in zip(starts, ends, strict=False)
    ]  # `ends` is longer if there are no words
