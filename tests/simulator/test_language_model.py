import io
import itertools

import pytest

from phonebot.simulator.language_model import PHONES, common_words, fingerprint, words_of, write_model


def test_words_are_what_the_recogniser_would_write() -> None:
    assert words_of("  I'd like -- two, please! It’s 10:30.") == [
        "i'd",
        "like",
        "two",
        "please",
        "it's",
        "10",
        "30",
    ]


def test_a_model_is_named_after_its_phrases_and_not_their_order() -> None:
    assert fingerprint(["yes", "no", "no"], "5") == fingerprint(["no", "yes"], "5")
    assert len({fingerprint(*made) for made in [(["yes"], "5"), (["no"], "5"), (["yes"], "6")]}) == 3


def test_the_common_words_are_ranked_and_hold_each_word_once() -> None:
    dictionary = ["a AH", "a(2) EY", "<sil> SIL", "read R IY D", "read(2) R EH D", "[noise] +N+", "the DH AH"]
    probability = {"a": 0.2, "the": 0.5, "read": 0.1}
    assert common_words(dictionary, probability.__getitem__) == ["the", "a", "read"]


def test_a_model_holds_the_words_of_the_phrases_and_the_commonest_others() -> None:
    file = io.StringIO()
    write_model(file, ["book a visit"], ["visit", *(f"w{rank}" for rank in range(2000))])
    unigrams = file.getvalue().partition("\\1-grams:")[2].partition("\\2-grams:")[0]
    words = {line.split()[1] for line in unigrams.splitlines() if line}
    assert {"book", "a", "visit", "w0", "w999"} <= words
    assert "w1000" not in words


@pytest.mark.parametrize("sequence", ["<s> book a", "tell me a visit", "a visit </s>"])
def test_a_model_knows_the_phrases_with_what_is_said_around_them(sequence: str) -> None:
    file = io.StringIO()
    write_model(file, ["book a visit"], [])
    bigrams = [" ".join(line.split()[1:3]) for line in file.getvalue().splitlines()]
    words = sequence.split()
    assert all(f"{first} {second}" in bigrams for first, second in itertools.pairwise(words))


def test_there_are_the_39_sounds_of_the_dictionary() -> None:
    assert len(PHONES) == 39
