import pytest

from evaluations.scoring.normalizers import UnknownNormalizer, get_normalizer

basic = get_normalizer("basic")
raw = get_normalizer("raw")


def test_raw_changes_nothing_but_white_space():
    assert raw("  Hello,\n  World! ") == "Hello, World!"


def test_basic_ignores_case_and_punctuation():
    assert basic("Hello -- “World”!") == "hello world"


def test_basic_keeps_apostrophes_inside_words_however_they_are_typed():
    assert basic("Beauty\u2019s 'rose'") == "beauty's rose"


def test_basic_keeps_the_points_of_numbers():
    assert basic("It is 5.5, or 1,000.") == "it is 5.5 or 1,000"


@pytest.mark.parametrize("word", ["हिन्दी", "বাংলা", "தமிழ்", "ไทย", "עִבְרִית"])
def test_basic_keeps_the_marks_that_words_are_spelt_with(word):
    assert basic(word) == word


def test_basic_treats_composed_and_decomposed_letters_alike():
    assert basic("caf\u00e9") == basic("cafe\u0301")


def test_parting_by_hyphens_makes_words():
    assert basic("ill-disposed") == "ill disposed"


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("snake_case", "snake case"),
        ("x² + y²", "x² y²"),
        ("\u0663\u066b\u0665 and \u0663.\u0665", "\u0663 \u0665 and \u0663.\u0665"),
        ("1.2.3, 4.,5", "1.2.3 4 5"),
        ("rock'n'roll 'n' o''clock", "rock'n'roll n o clock"),
        ("İstanbul", "i\u0307stanbul"),
        ("क्\u200dष", "क् ष"),
        ("\ud800a", "a"),
        ("a\x00b", "a b"),
    ],
)
def test_basic_v1_stays_as_it_is(text, normalized):
    """Scores were made with it."""
    assert get_normalizer("basic", 1)(text) == normalized


def test_an_unknown_normalizer_is_named_with_those_there_are():
    with pytest.raises(UnknownNormalizer, match=r"'nope'. Known: basic, raw"):
        get_normalizer("nope")


def test_a_version_that_does_not_exist_is_unknown():
    with pytest.raises(UnknownNormalizer):
        get_normalizer("basic", 99)
