from __future__ import annotations

import pytest

from oft.captions.rules import choose_captions
from tests.conftest import dataset

FOUND = ("a red house", "a house by a lake", "home")


def chosen(
    found: tuple[str, ...] = FOUND,
    rule: str = "all",
    template: str = "{caption}",
    seed: int = 0,
    key: str = "k",
) -> tuple[str, ...]:
    return choose_captions(found, dataset(rule=rule, template=template).captions, seed, key)


def test_rules() -> None:
    assert chosen(rule="all") == FOUND
    assert chosen(rule="first") == FOUND[:1]
    assert chosen(rule="random") in [(caption,) for caption in FOUND]


def test_a_drawn_caption_depends_on_seed_and_key_alone_and_none_is_preferred() -> None:
    drawn = [chosen(rule="random", key=str(key)) for key in range(300)]
    assert drawn == [chosen(rule="random", key=str(key)) for key in range(300)]
    assert drawn != [chosen(rule="random", key=str(key), seed=1) for key in range(300)]
    assert all(70 <= drawn.count((caption,)) <= 130 for caption in FOUND)


@pytest.mark.parametrize("rule", ["all", "first", "random"])
def test_no_rule_makes_a_caption_of_nothing(rule: str) -> None:
    assert chosen((), rule) == ()


def test_a_template_surrounds_each_caption_and_none_where_there_is_none() -> None:
    assert chosen(template="a photo of {caption}, naruto style") == tuple(
        f"a photo of {caption}, naruto style" for caption in FOUND
    )
    assert chosen((), template="a photo of {caption}") == ()


def test_a_template_without_a_field_is_the_caption_of_every_picture() -> None:
    assert chosen(template=" naruto style") == ("naruto style",) == chosen((), template="naruto style")


@pytest.mark.parametrize("caption", ["{caption}", "{0.__class__}", "{", "%s {x!r:>10}"])
def test_braces_of_a_caption_are_words_like_others(caption: str) -> None:
    assert chosen((caption,), template="a photo of {caption}") == (f"a photo of {caption}",)
