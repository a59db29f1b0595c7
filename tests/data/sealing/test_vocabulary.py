"""Vocabularies: the order of classes and tokens, against plain Python."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.sealing.rules import ColumnRule
from hpcmtl.data.sealing.vocabulary import ordered_classes, token_vocabulary, tokens_of

WORDS = st.text("ab cd,.Ä1", max_size=12)


@given(st.lists(st.integers(-1000, 1000), min_size=1))
def test_whole_numbers_are_ordered_as_numbers(numbers):
    """Class 10 comes after class 9."""
    assert ordered_classes(map(str, numbers)) == tuple(map(str, sorted(set(numbers))))


def test_words_are_ordered_by_letters():
    """One word among numbers makes all of them words."""
    assert ordered_classes(["10", "9", "b", "9"]) == ("10", "9", "b")


@given(WORDS)
def test_no_letter_of_a_text_is_lost(text):
    """Words and punctuation marks side by side are the text without its spaces; characters are all of it."""
    words = tokens_of(text, ColumnRule(kind="tokens"))

    assert "".join(words) == "".join(text.split())
    assert "".join(tokens_of(text, ColumnRule(kind="tokens", by="characters"))) == text


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.integers(1, 8))
def test_frequent_tokens_come_first(tokens, most):
    """Padding is 0, unknown is 1; the others come by their counts, at most as many as allowed."""
    counts = Counter(tokens)
    vocabulary = token_vocabulary(counts, most)

    assert vocabulary[:2] == ("<padding>", "<unknown>")
    assert len(vocabulary) == 2 + min(most, len(counts))
    assert sorted((-counts[token], token) for token in vocabulary[2:]) == [(-counts[t], t) for t in vocabulary[2:]]
