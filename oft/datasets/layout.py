"""What readers share: files that must be there, listings, licence tags."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from oft.datasets.caption_text import usable_captions
from oft.errors import DataError

# UTF-32's first: they begin with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What lies beside pictures and is none: captions, listings, tables, pages, caches. Every other file of a
# folder of pictures is taken for one and told by its content, or it would vanish uncounted.
_COMPANION_SUFFIXES = frozenset(
    f".{suffix}"
    for kind in (
        ("caption", "htm", "html", "md", "rst", "txt", "url"),
        ("cfg", "csv", "db", "ini", "json", "jsonl", "lock", "log", "toml", "tsv", "xml", "yaml", "yml"),
        ("npy", "npz", "parquet", "pt", "safetensors"),
    )
    for suffix in kind
)
_COMPANION_NAMES = frozenset(["copying", "licence", "license", "notice", "readme"])

LICENCE_FILE = "LICENCE"
"""The first line of this file at the top of a data set, where there is one, tags its pictures."""

_REMEDY = "put the data set there in this layout, or run `dvc repro acquire@<dataset>`"


def require_folder(path: Path, layout: str) -> Path:
    """Return the folder.

    Raises:
        DataError: it is missing; the message shows the layout and what to do.
    """
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; expected {layout}; {_REMEDY}")
    return path


def require_file(path: Path, layout: str) -> Path:
    """Return the file.

    Raises:
        DataError: it is missing; the message shows the layout and what to do.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}; expected {layout}; {_REMEDY}")
    return path


def first_folder(folders: Iterable[Path], layout: str) -> Path:
    """Return the first of several folders that is there.

    Raises:
        DataError: none is; the message names the first, and shows the layout and what to do.
    """
    candidates = list(folders)
    return require_folder(next((folder for folder in candidates if folder.is_dir()), candidates[0]), layout)


def read_text_file(path: Path) -> str:
    """Return a text file: in the encoding of its byte order mark where it has one, else UTF-8.

    Raises:
        DataError: it cannot be read, or is neither.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        encoding = next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8")
        text = path.read_text(encoding=encoding)
        if "\0" in text:
            raise UnicodeError("it holds zero bytes, as UTF-16 without a byte order mark does")
        return text
    except UnicodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it again as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); copy or download it again") from error


def read_json_file(path: Path, layout: str) -> Any:
    """Return the value in a JSON file.

    Raises:
        DataError: the file is missing or not JSON.
    """
    return parse_json(read_text_file(require_file(path, layout)), str(path))


def parse_json(text: str, place: str) -> Any:
    """Return the value in a JSON text.

    Raises:
        DataError: the text is not JSON; the message begins with ``place``.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON ({error}); mend it, or copy the file again") from error


def file_below(folder: Path, name: str) -> Path | None:
    """Return the path of a file that a listing names; None where the name leads out of the folder.

    Links in the folder are followed wherever they lead: they are the user's own, or those of DVC's cache.
    """
    path = PurePosixPath(name)
    return None if path.is_absolute() or ".." in path.parts or not path.name else folder / path


def walk_folders(top: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield folder, subfolders and files as `os.walk` does; linked folders, the user's own, are entered too.

    Raises:
        DataError: a link leads back to a folder that it lies in, so that the walk would never end.
    """
    for folder, subfolders, files in os.walk(top, followlinks=True):
        here = Path(folder)
        yield here, subfolders, files
        for path in (here / name for name in subfolders):
            if path.is_symlink():
                target = path.resolve()
                # The way here may itself have led through links.
                above = (here, *(parent for parent in here.parents if parent.is_relative_to(top)))
                if any(place.resolve().is_relative_to(target) for place in above):
                    raise DataError(f"in data folder {top} the link {path} leads back up; remove the link")


def walk(root: Path, wanted: Callable[[str], bool]) -> list[str]:
    """Return the paths from ``root`` of all files below it whose name is wanted, sorted.

    What is hidden or begins with ``__`` (``__MACOSX``) is passed over.

    Raises:
        DataError: a link leads back up.
    """
    names = []
    for folder, subfolders, files in walk_folders(root):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__"))]
        names += [(folder / name).relative_to(root).as_posix() for name in files if wanted(name)]
    return sorted(names)


def is_picture(name: str) -> bool:
    """Whether a file in a folder of pictures should be one: its name is not hidden, nor of another kind."""
    lower = name.lower()
    return not (
        name.startswith(".") or lower in _COMPANION_NAMES or Path(lower).suffix in _COMPANION_SUFFIXES
    )


def list_pictures(folder: Path) -> list[str]:
    """Return the names of what should be pictures directly in a folder, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if is_picture(entry.name) and not entry.is_dir())


def captions_in(value: object) -> tuple[str, ...]:
    """Return the captions in a value of a listing: a text, a list of texts, or anything else for none."""
    values = value if isinstance(value, list) else [value]
    return usable_captions(text for text in values if isinstance(text, str))


def licence_tag(root: Path, default: str) -> str:
    """Return the licence tag of a data set: the first line of its LICENCE file, else ``default``."""
    path = root / LICENCE_FILE
    if not path.is_file():
        return default
    lines = read_text_file(path).splitlines()
    return lines[0].strip() if lines and lines[0].strip() else default
