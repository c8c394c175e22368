from __future__ import annotations

import json

import pytest

from oft.data.caption_text import MAX_CAPTION_CHARS, clean_caption, prepare_captions
from tests.conftest import dataset

FOUND = ("a red house", "a house by a lake", "home")


def prepared(
    found: tuple[str, ...] = FOUND,
    rule: str = "all",
    template: str = "{caption}",
    seed: int = 0,
    key: str = "k",
) -> tuple[str, ...]:
    return prepare_captions(found, dataset(rule=rule, template=template).captions, seed, key)


def test_rules() -> None:
    assert prepared(rule="all") == FOUND
    assert prepared(rule="first") == FOUND[:1]
    assert prepared(rule="random") in [(caption,) for caption in FOUND]


def test_a_drawn_caption_depends_on_seed_and_key_alone_and_none_is_preferred() -> None:
    drawn = [prepared(rule="random", key=str(key)) for key in range(300)]
    assert drawn == [prepared(rule="random", key=str(key)) for key in range(300)]
    assert drawn != [prepared(rule="random", key=str(key), seed=1) for key in range(300)]
    assert all(70 <= drawn.count((caption,)) <= 130 for caption in FOUND)


@pytest.mark.parametrize("rule", ["all", "first", "random"])
def test_empty_captions_do_not_count(rule: str) -> None:
    assert prepared(("", " \n", "\x00\x1b", "a tree"), rule) == ("a tree",)
    assert prepared(("", " "), rule) == () == prepared((), rule)


def test_a_template_surrounds_each_caption_and_none_where_there_is_none() -> None:
    assert prepared(template="a photo of {caption}, naruto style") == tuple(
        f"a photo of {caption}, naruto style" for caption in FOUND
    )
    assert prepared((), template="a photo of {caption}") == ()


def test_a_template_without_a_field_is_the_caption_of_every_picture() -> None:
    assert prepared(template=" naruto style") == ("naruto style",) == prepared((), template="naruto style")


@pytest.mark.parametrize("caption", ["{caption}", "{0.__class__}", "{", "%s {x!r:>10}"])
def test_braces_of_a_caption_are_words_like_others(caption: str) -> None:
    assert prepared((caption,), template="a photo of {caption}") == (f"a photo of {caption}",)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  a\ttree \r\n by\u2028the road ", "a tree by the road"),
        ("a\x00 tree\x07\x85", "a tree"),
        ("\ufeffa tree", "a tree"),
        ("a caf\ufffd by the road", "a caf by the road"),
        ("a tree \ud83c and \udf33", "a tree and"),
        ("ein Bär, 一棵树 🌳", "ein Bär, 一棵树 🌳"),
    ],
)
def test_what_no_prompt_can_use_is_taken_out(text: str, cleaned: str) -> None:
    assert clean_caption(text) == cleaned
    assert json.dumps(clean_caption(text), ensure_ascii=False).encode()


def test_long_captions_end_with_a_whole_word() -> None:
    text = "a tree by the road " * 1000
    cut = clean_caption(text)
    assert MAX_CAPTION_CHARS - 5 < len(cut) <= MAX_CAPTION_CHARS
    assert text.startswith(f"{cut} ")
    assert clean_caption(cut) == cut
    assert clean_caption("x" * 20_000) == "x" * MAX_CAPTION_CHARS
