"""How captions count and list things."""

from __future__ import annotations

from collections.abc import Sequence

NUMBERS = ("no", "one", "two", "three")
PLURALS: dict[str, str] = {
    "person": "people",
    "boat": "boats",
    "building": "buildings",
    "car": "cars",
    "house": "houses",
    "mountain": "mountains",
    "tree": "trees",
    "fir tree": "fir trees",
    "ball": "balls",
    "cup": "cups",
    "dog": "dogs",
    "flower": "flowers",
}


def with_article(words: str) -> str:
    """Return the words after 'a' or 'an'."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def count_phrase(word: str, count: int, colour: str = "") -> str:
    """Return for example 'a red house', 'two trees' or 'several cars'."""
    coloured = f"{colour} " if colour else ""
    if count == 1:
        return with_article(f"{coloured}{word}")
    number = NUMBERS[count] if count < len(NUMBERS) else "several"
    return f"{number} {coloured}{PLURALS[word]}"


def join_phrases(phrases: Sequence[str]) -> str:
    """Return phrases as one: 'a, b and c'."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
