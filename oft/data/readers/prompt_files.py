"""The prompt files of the OFT authors' release: captions (by BLIP) for the pictures of a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oft.data.readers.layout import clean_captions
from oft.errors import DataError
from oft.types import Split

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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); {_RULE}; save it again as UTF-8") from error
    captions: dict[str, str] = {}
    for place, entry in _entries(path, text):
        target = entry.get("target", entry.get("image")) if isinstance(entry, dict) else None
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if not isinstance(target, str) or not isinstance(prompt, str):
            raise DataError(
                f"{path}, {place}: got {json.dumps(entry)[:80]}; {_RULE}; mend or remove the entry"
            )
        stem, caption = Path(target).stem, " ".join(clean_captions([prompt]))
        if captions.setdefault(stem, caption) != caption:
            raise DataError(
                f"{path}, {place}: a second caption for {stem!r}; pictures are told apart by the names of "
                "their files; give each its own name, or one caption"
            )
    return captions


def find_prompt_file(root: Path, split: Split) -> Path | None:
    """Return ``prompt_{split}_blip.json``, at the top of a data set or in its folder ``split``, or None."""
    name = f"prompt_{split}_blip.json"
    return next((path for path in (root / name, root / split / name) if path.is_file()), None)


def _entries(path: Path, text: str) -> list[tuple[str, Any]]:
    try:
        if text.lstrip().startswith("["):
            return [(f"entry {index}", entry) for index, entry in enumerate(json.loads(text))]
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); {_RULE}; copy the file again") from error
    entries = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entries.append((f"line {number}", json.loads(line)))
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: not valid JSON ({error}); {_RULE}; mend the line"
            ) from error
    return entries
