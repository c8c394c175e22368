"""CLIP's published vocabulary as a tokenizer, for checkpoints of one file: those have networks alone."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from oft.errors import CheckpointError
from oft.storage import sha256_file, write_json

MERGES_FILE = Path(__file__).parent / "clip_vocabulary" / "bpe_simple_vocab_16e6.txt.gz"
MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
NUM_MERGES = 48_894
"""How many of the file's merges CLIP takes: with 512 symbols of bytes and two marks, 49,408 tokens."""

BEGINNING, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
END_PAD, ZERO_PAD = END, "!"
"""What prompts are filled up with: CLIP's text encoders (Stable Diffusion 1, XL's first) have the mark of the
end, OpenCLIP's (Stable Diffusion 2, XL's second) token 0."""


def write_tokenizer(folder: Path, pad_token: str) -> None:
    """Write the vocabulary as transformers' ``CLIPTokenizer`` of 77 tokens, in the files of its layout.

    As in the published tokenizers of Stable Diffusion 2 and XL, with ``pad_token`` "!" each "!" of a prompt
    becomes token 0 too, where OpenCLIP's own tokenizer has 256 and longer ones (diffusers' issue 4153).

    Args:
        pad_token: ``END_PAD`` or ``ZERO_PAD``.

    Raises:
        CheckpointError: the repository's copy of the vocabulary is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    merges = read_merges()
    write_json(folder / "vocab.json", {token: number for number, token in enumerate(list_tokens(merges))})
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    marks = {"bos_token": BEGINNING, "eos_token": END, "pad_token": pad_token, "unk_token": END}
    write_json(folder / "special_tokens_map.json", marks)
    settings = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77}
    write_json(folder / "tokenizer_config.json", {**settings, **marks, "tokenizer_class": "CLIPTokenizer"})


@cache
def read_merges() -> tuple[tuple[str, str], ...]:
    """Return CLIP's merges of byte pairs, the first to apply first.

    Raises:
        CheckpointError: the file is missing, or another than was published.
    """
    found = sha256_file(MERGES_FILE) if MERGES_FILE.is_file() else "that of no file"
    if found != MERGES_SHA256:
        raise CheckpointError(
            f"{MERGES_FILE}: must be CLIP's published vocabulary, whose SHA-256 is {MERGES_SHA256}, and is "
            f"{found}; restore it with git checkout, or install this package again"
        )
    with gzip.open(MERGES_FILE, "rt", encoding="utf-8") as stream:
        stream.readline()  # a comment
        pairs = (next(stream).split() for _ in range(NUM_MERGES))
        return tuple((left, right) for left, right in pairs)


def list_tokens(merges: tuple[tuple[str, str], ...]) -> list[str]:
    """Return all tokens in order of their numbers: bytes, bytes that end a word, merges, the two marks."""
    symbols = list(byte_symbols())
    ends = [f"{symbol}{WORD_END}" for symbol in symbols]
    return [*symbols, *ends, *("".join(merge) for merge in merges), BEGINNING, END]


def byte_symbols() -> str:
    """Return a visible character for each byte in GPT-2's order, which byte-level vocabularies follow.

    Bytes that print in Latin-1 come first, each as itself, then the others as characters from U+0100 on
    (Radford et al. 2019).
    """
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return "".join(map(chr, [*printing, *range(0x100, 0x100 + 256 - len(printing))]))
