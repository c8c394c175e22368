"""What is drawn: prompts with sources, seeds that do not depend on the prompt, names that are free."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.errors import ParamsError
from oft.generation.plan import Item, next_number, plan_items, slug


def test_each_prompt_goes_with_each_source(tmp_path: Path) -> None:
    sources = [tmp_path / "x.png", tmp_path / "y.png"]
    items = plan_items(["A red house", "Ein Boot!"], sources, first=0)
    assert [(item.prompt, item.source) for item in items] == [
        (prompt, source) for source in sources for prompt in ("A red house", "Ein Boot!")
    ]
    assert [item.key for item in items] == ["00-a-red-house", "01-ein-boot", "02-a-red-house", "03-ein-boot"]


def test_without_prompts_a_source_has_its_own_text(tmp_path: Path) -> None:
    source = tmp_path / "cat.png"
    with pytest.raises(ParamsError, match=r"cat\.png: has no prompt"):
        plan_items([], [source], first=0)
    source.with_suffix(".txt").write_text("a cat\n", encoding="utf-8")
    assert plan_items([], [source], first=0) == [Item("00-a-cat", "a cat", source)]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ParamsError, match="nothing to draw"):
        plan_items([], [], first=0)


def test_seeds_count_up_whatever_the_prompt() -> None:
    first, second = plan_items(["a", "b"], [], first=0)
    assert [request.seed for request in first.requests(seed=7, number=3)] == [7, 8, 9]
    assert [request.seed for request in second.requests(seed=7, number=3)] == [7, 8, 9]


@pytest.mark.parametrize(
    ("text", "name"), [("A red house", "a-red-house"), ("../../etc", "etc"), ("猫", ""), ("x" * 99, "x" * 40)]
)
def test_names_of_files_are_plain(text: str, name: str) -> None:
    assert slug(text) == name


def test_keys_without_letters_are_numbers() -> None:
    assert plan_items(["猫"], [], first=3)[0].key == "03"


def test_the_next_number_is_free(tmp_path: Path) -> None:
    assert next_number(tmp_path / "nowhere") == 0
    for name in ("00-a-0.png", "07-b-0.png", "notes.txt"):
        (tmp_path / name).touch()
    assert next_number(tmp_path) == 8
