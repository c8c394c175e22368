"""The prompt files of the OFT authors' release: captions (by BLIP) for the pictures of a split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from oft.datasets.caption_text import clean_caption
from oft.datasets.layout import captions_in, parse_json, read_text_file
from oft.errors import DataError
from oft.types import Example, Split

_RULE = (
    'a prompt file is JSON lines of {"source", "target", "prompt"} or one JSON array of {"image", "prompt"}'
)


def read_prompt_file(path: Path) -> dict[str, str]:
    """Return the caption of each picture, by the stem of its file name.

    Raises:
        DataError: the file is missing, an entry has another form, or two differ for one name; the message
            names the line or entry.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"there is no prompt file {path}; {_RULE}; write it or choose another source of captions"
        )
    captions: dict[str, str] = {}
    for place, entry in read_entries(path):
        target = entry.get("target", entry.get("image")) if isinstance(entry, dict) else None
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if not isinstance(target, str) or not isinstance(prompt, str):
            raise DataError(
                f"{path}, {place}: got {json.dumps(entry)[:80]}; {_RULE}; mend or remove the entry"
            )
        stem, caption = Path(target).stem, clean_caption(prompt)
        if captions.setdefault(stem, caption) != caption:
            raise DataError(
                f"{path}, {place}: a second caption for {stem!r}; pictures are told apart by the names of "
                "their files; give each its own name, or one caption"
            )
    return captions


def named_apart(examples: Iterable[Example], owners: dict[str, Example], path: str) -> Iterator[Example]:
    """Yield examples, and add to the owners of names in a prompt file; a picture may come repeatedly.

    Args:
        examples: what a reader yields.
        owners: by the stem of the file name, of all splits of the data set.
        path: the prompt file.

    Raises:
        DataError: two pictures have one name.
    """
    for example in examples:
        owner = owners.setdefault(example.image.stem, example)
        if owner.image != example.image:
            raise DataError(
                f"{path}: it tells pictures apart by the names of their files, and {owner.key} and "
                f"{example.key} are both {example.image.stem!r}; rename one"
            )
        yield example


def prompt_captions(split: Split, *folders: Path) -> dict[str, tuple[str, ...]]:
    """Return what the prompt file of a split says of each picture, by the stem of its file name.

    The file is that of the first of the folders that has one; without one nothing is said. In a folder it
    lies at the top or in its folder ``split``, as ``prompt_{split}_blip_full.json`` (beside which the
    release's other one is an excerpt) or ``prompt_{split}_blip.json``.

    Raises:
        DataError: the file is damaged; see `read_prompt_file`.
    """
    names = (f"prompt_{split}_blip_full.json", f"prompt_{split}_blip.json")
    places = (place / name for folder in folders for place in (folder, folder / split) for name in names)
    found = next((path for path in places if path.is_file()), None)
    return {stem: captions_in(prompt) for stem, prompt in read_prompt_file(found).items()} if found else {}


def read_entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the values of a file of JSON lines, or of one JSON array, each with its place for messages.

    Raises:
        DataError: the file is no text, or a value no JSON; the message names the line.
    """
    text = read_text_file(path)
    if text.lstrip().startswith("["):
        for index, entry in enumerate(parse_json(text, str(path))):
            yield f"entry {index}", entry
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", parse_json(line, f"{path}, line {number}")
