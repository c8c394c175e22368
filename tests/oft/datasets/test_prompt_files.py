from __future__ import annotations

import json
from pathlib import Path

import pytest

from oft.datasets.prompt_files import prompt_captions, read_prompt_file
from oft.errors import DataError


def test_json_lines_and_one_array_give_the_same(tmp_path: Path) -> None:
    lines = [{"source": "source/a.png", "target": "target/a.png", "prompt": " a\nhouse\u2028"}]
    lines.append({"source": "source/b.png", "target": "target/b.png", "prompt": "a tree"})
    (tmp_path / "lines.json").write_text(
        "\n".join(json.dumps(entry, ensure_ascii=False) for entry in lines) + "\n\n"
    )
    array = [{"image": entry["target"], "prompt": entry["prompt"]} for entry in lines]
    (tmp_path / "array.json").write_text(json.dumps(array))
    expected = {"a": "a house", "b": "a tree"}
    assert read_prompt_file(tmp_path / "lines.json") == expected == read_prompt_file(tmp_path / "array.json")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"target": "a.png", "prompt": "x"}\n{"target": "b.png"}', "line 2"),
        ('{"target": "a.png", "prompt": "x"}\n{"tar', "line 2"),
        ('[{"image": "a.png", "prompt": "x"}, {"image": 3, "prompt": "x"}]', "entry 1"),
        ('[{"image": "a.png"', "not valid JSON"),
        ("7", "line 1"),
        (
            '[{"image": "cats/1.png", "prompt": "a cat"}, {"image": "dogs/1.png", "prompt": "a dog"}]',
            "entry 1",
        ),
    ],
)
def test_a_fault_names_its_place(tmp_path: Path, content: str, place: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(DataError, match=rf"p\.json.*{place}"):
        read_prompt_file(tmp_path / "p.json")


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no prompt file"):
        read_prompt_file(tmp_path / "p.json")
    (tmp_path / "p.json").write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match="not UTF-8"):
        read_prompt_file(tmp_path / "p.json")


def test_the_file_of_the_split_is_found(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for name, prompt in (("prompt_train_blip.json", "an excerpt"), ("train/prompt_train_blip_full.json", "")):
        (tmp_path / name).write_text(json.dumps([{"image": "a.png", "prompt": prompt}]))
    assert prompt_captions("val", tmp_path) == {}
    assert prompt_captions("train", tmp_path / "nowhere", tmp_path) == {"a": ("an excerpt",)}
    (tmp_path / "prompt_train_blip_full.json").write_text('{"target": "a.png", "prompt": "all"}')
    assert prompt_captions("train", tmp_path) == {"a": ("all",)}
    assert prompt_captions("train", tmp_path / "train") == {"a": ()}
