"""Write the pictures of a request below a clone as the data sets of its pipeline.

A folder is named by the hash of all it holds: DVC knows a folder outside its outs by name alone, so equal
requests have equal settings and others never take their results.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from flows.requests.captioned import Captioned
from oft.storage import atomic_folder

# Ignored by git and DVC; stages find it below the clone's root.
DOWNLOADS = Path(".downloads")
# The hub's words for the two splits.
_FOLDERS = {"train": "train", "val": "validation"}


def write_subject(name: str, prompts_file: tuple[str, str], pictures: Sequence[Path], root: Path) -> Path:
    """Write a subject in google/dreambooth's layout below ``root``; return its folder, relative to it.

    Args:
        name: of the subject.
        prompts_file: name and text of the file of its class and prompts.
    """
    file_name, text = prompts_file
    folder = _folder(text, pictures)
    with atomic_folder(root / folder) as partial:
        subject = partial / "dataset" / name
        subject.mkdir(parents=True)
        _copy_numbered(pictures, subject)
        (partial / "dataset" / file_name).write_text(text, encoding="utf-8")
    return folder


def write_pictures(pictures: Sequence[Path], root: Path) -> Path:
    """Write pictures to a folder below ``root`` and return it, relative to it."""
    folder = _folder("", pictures)
    with atomic_folder(root / folder) as partial:
        _copy_numbered(pictures, partial)
    return folder


def write_captioned(pictures: Sequence[Captioned], root: Path) -> Path:
    """Write pictures with captions in the hub's layout below ``root``; return the folder, relative to it."""
    copies: dict[str, Path] = {}
    listings: dict[str, str] = {}
    for split, part in _FOLDERS.items():
        lines = []
        for index, picture in enumerate(each for each in pictures if each.split == split):
            entry = {"file_name": _numbered(index, picture.image), "text": list(picture.captions)}
            copies[f"{part}/{entry['file_name']}"] = picture.image
            if picture.condition is not None:
                entry["conditioning_image"] = f"conditions/{_numbered(index, picture.condition)}"
                copies[f"{part}/{entry['conditioning_image']}"] = picture.condition
            lines.append(json.dumps(entry, ensure_ascii=False, sort_keys=True) + "\n")
        if lines:
            listings[f"{part}/metadata.jsonl"] = "".join(lines)
    folder = _folder(json.dumps([listings, list(copies)], ensure_ascii=False), copies.values())
    with atomic_folder(root / folder) as partial:
        for name, source in copies.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / name)
        for name, text in listings.items():
            (partial / name).write_text(text, encoding="utf-8")
    return folder


def _folder(text: str, files: Iterable[Path]) -> Path:
    digest = hashlib.sha256(text.encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return DOWNLOADS / digest.hexdigest()


def _copy_numbered(pictures: Sequence[Path], target: Path) -> None:
    for index, picture in enumerate(pictures):
        shutil.copyfile(picture, target / _numbered(index, picture))


def _numbered(index: int, picture: Path) -> str:
    return f"{index:03d}{picture.suffix.lower()}"
