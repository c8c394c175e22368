from __future__ import annotations

import unicodedata

import pytest

from oft.keys import KEY_PATTERN, MAX_KEY_CHARS, flipped_key, picture_key, repeated_key, row_key, sorted_keys

ODD_NAMES = [
    "a b.jpg",
    "a_b.png",
    "sub/a b.jpg",
    "日本.jpg",
    ".jpg",
    "x" * 300 + ".jpg",
    "my.photo.v2.webp",
    "é.jpg",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_name_gives_a_key_fit_for_a_shard(name: str) -> None:
    assert KEY_PATTERN.fullmatch(picture_key(name))


def test_plain_names_stay_as_they_are() -> None:
    assert picture_key("ADE_train_00000001.jpg") == "ADE_train_00000001"
    assert picture_key("dog/03.jpg") == "dog-03"


def test_the_key_does_not_depend_on_how_unicode_was_stored() -> None:
    assert picture_key(unicodedata.normalize("NFD", "日é.jpg")) == picture_key(
        unicodedata.normalize("NFC", "日é.jpg")
    )


def test_keys_are_unique_sorted_and_independent_of_the_order_of_names() -> None:
    listed = sorted_keys(ODD_NAMES)
    keys = [key for key, _ in listed]
    assert keys == sorted(set(keys)) and len(keys) == len(ODD_NAMES)
    assert sorted(name for _, name in listed) == sorted(ODD_NAMES)
    assert sorted_keys(reversed(ODD_NAMES)) == listed
    assert ("a_b", "a b.jpg") in listed


def test_the_key_of_a_mirror_image_is_a_key_of_its_own() -> None:
    keys = ["a", "x" * 72, "x" * 73, "x" * 79 + "y", "x" * 80]
    flipped = [flipped_key(key) for key in keys]
    assert flipped[:2] == ["a-flipped", "x" * 72 + "-flipped"]
    assert len({*keys, *flipped}) == 2 * len(keys)
    assert all(KEY_PATTERN.fullmatch(key) and key.endswith("-flipped") for key in flipped)


@pytest.mark.parametrize("stem", ["a", "a" * 71, "a" * 72, "a" * 80])
def test_rows_have_keys_in_their_order(stem: str) -> None:
    keys = [row_key(stem, row) for row in (0, 9, 10, 12345678)]
    assert keys == sorted(set(keys)) and all(KEY_PATTERN.fullmatch(key) for key in keys)


def test_rows_of_long_names_that_begin_alike_have_keys_of_their_own() -> None:
    assert row_key("a" * 79 + "b", 0) != row_key("a" * 79 + "c", 0)


@pytest.mark.parametrize("length", [1, MAX_KEY_CHARS - 7, MAX_KEY_CHARS])
def test_a_picture_that_comes_again_has_a_key_of_its_own_each_time(length: int) -> None:
    key = "k" * length
    keys = [repeated_key(key, repeat) for repeat in range(120)]
    assert keys[0] == key and len(set(keys)) == len(keys)
    assert all(KEY_PATTERN.fullmatch(each) for each in keys)
