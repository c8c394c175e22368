"""CLIP's shipped vocabulary: the published file, and the numbers that OpenCLIP's own tokenizer gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oft.errors import CheckpointError
from oft.models import vocabulary
from oft.models.architectures import CheckpointName, write_tokenizers
from oft.models.loading import load_tokenizer
from oft.models.vocabulary import END_PAD, MERGES_FILE, ZERO_PAD, write_tokenizer
from oft.storage import read_json, sha256_file

BEGIN, END = 49406, 49407
TEXTS = read_json(Path(__file__).with_name("clip_tokens.json"))["tokens"]


def load(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return load_tokenizer(CLIPTokenizer, folder, "")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, END_PAD)
    return load(folder)


def test_the_file_is_the_one_that_its_readme_names() -> None:
    digest = sha256_file(MERGES_FILE)
    assert digest == "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
    assert digest in (MERGES_FILE.parent / "README.md").read_text("utf-8")
    assert f"{MERGES_FILE.stat().st_size:,} bytes" in (MERGES_FILE.parent / "README.md").read_text("utf-8")
    assert "Copyright (c) 2021 OpenAI" in (MERGES_FILE.parent / "LICENSE").read_text("utf-8")


def test_the_vocabulary_is_bytes_then_ends_of_words_then_merges_then_two_marks(tokenizer: Any) -> None:
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert len(tokens) == len(set(tokens)) == 49408
    assert tokens[0] == "!" and tokens[255] == chr(0x100 + 67)
    assert tokens[256:512] == [f"{symbol}</w>" for symbol in tokens[:256]]
    assert tokens[512:514] == ["in", "th"] and tokens[49405] == "jekyll</w>"
    assert tokens[49406:] == ["<|startoftext|>", "<|endoftext|>"]
    # Every byte of UTF-8 text has a symbol: nothing is ever unknown.
    assert [tokenizer.decode([number]) for number in range(5)] == ["!", '"', "#", "$", "%"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_numbers_that_openclip_gives_it(tokenizer: Any, text: str) -> None:
    assert tokenizer(text).input_ids == [BEGIN, *TEXTS[text], END]


@pytest.mark.parametrize(("pad_token", "number"), [(END_PAD, END), (ZERO_PAD, 0)])
def test_prompts_are_filled_up_to_77_with_the_pad_and_cut_there(
    tmp_path: Path, pad_token: str, number: int
) -> None:
    write_tokenizer(tmp_path, pad_token)
    tokenizer = load(tmp_path)
    assert (tokenizer.model_max_length, tokenizer.pad_token_id) == (77, number)
    short, long = tokenizer(["a cat", "cat " * 100], padding="max_length", truncation=True).input_ids
    assert short == [BEGIN, 320, 2368, END, *[number] * 73]
    assert long == [BEGIN, *[2368] * 75, END]


@pytest.mark.parametrize(
    ("name", "numbers"), [("sd15", [END]), ("sd21", [0]), ("sd21-base", [0]), ("sdxl", [END, 0])]
)
def test_each_checkpoint_has_the_pads_it_was_published_with(
    name: CheckpointName, numbers: list[int], tmp_path: Path
) -> None:
    write_tokenizers(name, tmp_path)
    assert [load(folder).pad_token_id for folder in sorted(tmp_path.iterdir())] == numbers


def test_where_the_pad_is_an_exclamation_mark_prompts_that_have_one_read_as_in_diffusers(
    tmp_path: Path,
) -> None:
    """Known of the published tokenizers: diffusers' issue 4153 gives these numbers, and OpenCLIP's beside."""
    write_tokenizer(tmp_path, ZERO_PAD)
    assert load(tmp_path)("! !! !!!").input_ids == [BEGIN, 0, 0, 0, 0, 0, 0, END]


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tokenizer(tmp_path / name, END_PAD)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_damaged_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "merges.gz"
    other.write_bytes(MERGES_FILE.read_bytes()[:-1])
    monkeypatch.setattr(vocabulary, "MERGES_FILE", other)
    vocabulary.read_merges.cache_clear()
    with pytest.raises(CheckpointError, match=r"merges\.gz: must be CLIP's published vocabulary.*git checko"):
        write_tokenizer(tmp_path / "tokenizer", END_PAD)
    vocabulary.read_merges.cache_clear()
