from __future__ import annotations

import json

import pytest

from oft.datasets.caption_text import MAX_CAPTION_CHARS, clean_caption, usable_captions


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


def test_empty_captions_are_none() -> None:
    assert usable_captions(["", " \n", "a  tree", "\x00\x1b"]) == ("a tree",)
