"""The vocabulary of the miniature world."""

from __future__ import annotations

from miniature.world.vocabulary import words_of, world_words


def test_words_are_sorted_single_and_lower_case() -> None:
    words = world_words()
    assert list(words) == sorted(set(words))
    assert all(word == word.lower() and words_of(word) == [word] for word in words)
    assert {"sks", "photo", "picture", "of", "a", ",", "."} <= set(words)
