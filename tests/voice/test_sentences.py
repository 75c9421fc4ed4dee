"""A text that is being written is spoken sentence by sentence."""

import pytest

from voice.sentence_splitter import SentenceSplitter, is_speakable


def pieces_of(text, size):
    sentences = SentenceSplitter()
    pieces = [piece for at in range(0, len(text), size) for piece in sentences.push(text[at : at + size])]
    return [piece for piece in [*pieces, sentences.rest()] if piece]


TEXTS = {
    "plain": ("Hello there. How are you? Fine!", ["Hello there.", " How are you?", " Fine!"]),
    "numbers": ("It costs 3.14 dollars. Cheap.", ["It costs 3.14 dollars.", " Cheap."]),
    "abbreviations": ("Dr. J. Smith, e.g. him, is in. Wait.", ["Dr. J. Smith, e.g. him, is in.", " Wait."]),
    "quotes": ('He said "No." Then he left.', ['He said "No."', " Then he left."]),
    "lines": ("First\nSecond\nThird", ["First\n", "Second\n", "Third"]),
    "chinese": ("你好。今天天气怎么样？很好！", ["你好。", "今天天气怎么样？", "很好！"]),  # noqa: RUF001
    "german": ("Er kam z.B. gestern. Gut.", ["Er kam z.B. gestern.", " Gut."]),
    "dots alone": ("... Well. Yes.", ["... Well.", " Yes."]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_whole_text_is_cut_into_its_sentences(name):
    text, wanted = TEXTS[name]
    assert pieces_of(text, len(text)) == wanted


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_lost_or_doubled_however_the_text_comes(name, size):
    text, _ = TEXTS[name]
    assert "".join(pieces_of(text, size)) == text


def test_a_sentence_is_spoken_before_the_next_one_begins():
    sentences = SentenceSplitter()
    assert sentences.push("Good") == []
    assert sentences.push(" morning.") == ["Good morning."]


def test_a_number_is_not_cut_while_it_may_go_on():
    sentences = SentenceSplitter()
    assert sentences.push("Pi is 3.") == []
    assert sentences.push("14159 or so") == []
    assert sentences.rest() == "Pi is 3.14159 or so"


def test_a_long_beginning_is_spoken_up_to_its_last_clause():
    sentences = SentenceSplitter()
    pieces = sentences.push("When the rain had stopped at last, and the streets were dry again, we went")
    assert pieces == ["When the rain had stopped at last, and the streets were dry again,"]
    assert sentences.rest() == " we went"


def test_a_text_without_any_mark_is_cut_between_words():
    pieces = pieces_of("word " * 300, 5)
    assert "".join(pieces) == "word " * 300
    assert max(len(piece) for piece in pieces) <= 405
    assert all(piece.endswith(" ") for piece in pieces)


def test_marks_alone_are_nothing_to_speak():
    assert not is_speakable("... !")
    assert is_speakable("7!")
    assert is_speakable("好。")
