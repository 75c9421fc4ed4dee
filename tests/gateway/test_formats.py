"""Every answer from one thing: a text with times."""

import pytest

from gateway.http.formats import as_object, as_text, transcript_of
from gateway.http.languages import language_code
from providers.adapters.base import TimedText, Transcription


def transcript(text, duration=10.0, **heard):
    return transcript_of(
        Transcription(text, None, **heard), task="transcribe", duration=duration, language="", temperature=0.0
    )


def words(*timed):
    return tuple(TimedText(text, start, end) for text, start, end in timed)


def segments(**heard):
    return [(each.text, each.start, each.end) for each in transcript(**heard).segments]


def test_a_text_without_times_is_one_segment_over_the_whole_audio():
    assert segments(text="hello there", duration=3.5) == [("hello there", 0.0, 3.5)]


def test_silence_has_no_segments_and_empty_subtitles():
    silent = transcript("")
    assert silent.segments == ()
    assert as_text(silent, "srt") == b""
    assert as_text(silent, "vtt") == b"WEBVTT\n\n"
    assert as_object(silent, "verbose_json", frozenset({"segment"}))["segments"] == []


def test_words_become_segments_at_ends_of_sentences_and_at_pauses():
    timed = words(("Is", 0, 0.2), ("it", 0.2, 0.4), ("here", 0.4, 0.9), ("No", 1.0, 1.2), ("never", 3.0, 3.4))
    assert segments(text="Is it here? No, never", words=timed) == [
        ("Is it here?", 0, 0.9), ("No,", 1.0, 1.2), ("never", 3.0, 3.4),
    ]  # fmt: skip


def test_words_that_go_on_and_on_become_segments_that_can_be_read():
    timed = words(*((f"w{number}", number * 0.5, number * 0.5 + 0.5) for number in range(40)))
    made = segments(text=" ".join(word.text for word in timed), words=timed)
    assert len(made) > 2
    assert all(end - start <= 8 for _, start, end in made)


def test_words_of_languages_without_spaces_get_none():
    timed = words(("你好", 0, 0.5), ("世界", 0.5, 1.0), ("再见", 1.1, 1.5))
    assert segments(text="你好世界。再见", words=timed) == [("你好世界。", 0, 1.0), ("再见", 1.1, 1.5)]


def test_words_that_are_not_those_of_the_text_are_put_together_as_they_are():
    timed = words(("twenty", 0, 0.5), ("five", 0.5, 1.0))
    assert segments(text="25", words=timed) == [("twenty five", 0, 1.0)]


def test_segments_of_the_model_are_kept_as_they_are():
    given = words(("one.", 0, 1), ("two", 1, 2))
    assert segments(text="one. two", segments=given) == [("one.", 0, 1), ("two", 1, 2)]


def test_subtitles_count_hours_and_round_to_milliseconds():
    spoken = transcript("late", 4000, segments=words(("late", 3599.9996, 3661.5)))
    assert as_text(spoken, "srt").decode() == "1\n01:00:00,000 --> 01:01:01,500\nlate\n\n"
    assert as_text(spoken, "vtt").decode() == "WEBVTT\n\n01:00:00.000 --> 01:01:01.500\nlate\n\n"


def test_no_text_can_break_subtitles():
    """An empty line or an arrow would end the text, a tag would hide it."""
    odd = transcript("a", segments=words(("<b>a & b\n\n2\n00:00 --> 00:01", 0, 1)))
    assert as_text(odd, "vtt").decode().splitlines()[3] == "&lt;b>a &amp; b 2 00:00 --&gt; 00:01"
    assert as_text(odd, "srt").decode().count("\n\n") == 1


@pytest.mark.parametrize(("tokens", "kind"), [((5, 7), "tokens"), ((None, 7), "duration"), ((None, None), "duration")])
def test_usage_is_in_tokens_only_where_all_are_counted(tokens, kind):
    usage = transcript("a", input_tokens=tokens[0], output_tokens=tokens[1]).usage
    assert usage["type"] == kind
    assert usage.get("total_tokens") == (12 if kind == "tokens" else None)


@pytest.mark.parametrize(
    ("written", "code"),
    [("en", "en"), ("en-US", "en-US"), ("en_US", "en-US"), (" English ", "en"), ("Mandarin", "zh"), ("yue", "yue"),
     ("klingon", None), ("e", None), ("en;q=1", None)],
)  # fmt: skip
def test_languages_may_be_written_in_any_usual_way(written, code):
    assert language_code(written) == code
