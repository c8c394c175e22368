"""google/dreambooth: a few pictures of each of 30 subjects, and the prompts that DreamBooth evaluates on."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

from oft.datasets.layout import licence_tag, list_pictures, read_text_file, require_file, require_folder
from oft.datasets.reader import WORLD, Reader
from oft.errors import DataError
from oft.keys import sorted_keys
from oft.types import Counts, Example, Split

LAYOUT = "google/dreambooth's layout: dataset/<subject>/NN.jpg and dataset/prompts_and_classes.txt"
LICENCE = "CC-BY-4.0"

LIVE_CLASSES = frozenset({"cat", "dog"})
"""The classes of the data set that take the prompts for live subjects."""

_PROMPTS_FILE = "prompts_and_classes.txt"
_HEADINGS = {False: "Object Prompts", True: "Live Subject Prompts"}
_PROMPT = re.compile(r"""(?P<literal>'.*'|".*")\s*\.format\(\s*unique_token\s*,\s*class_token\s*\)\s*,?""")


def read_dreambooth(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the pictures of all subjects, sorted by key ``<subject>-NN``; ``val`` has none, captions are
    empty.

    Args:
        root: the folder that holds ``dataset``, or that folder itself.
        split: ``train`` or ``val``.
        counts: gets each picture listed.

    Raises:
        DataError: the folder is missing.
    """
    top = _top(root)
    if split == "val":
        return
    subjects = sorted(
        entry.name for entry in top.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    names = [f"{subject}/{name}" for subject in subjects for name in list_pictures(top / subject)]
    yield from _examples(root, top, names, split, counts)


def read_subject(root: Path, subject: str, counts: Counts) -> Iterator[Example]:
    """Yield the pictures of one subject, with the keys that `read_dreambooth` gives them.

    Raises:
        DataError: there is no such subject; the message lists those there are.
    """
    top = _top(root)
    folder = top / subject
    if not subject or not folder.is_dir():
        known = ", ".join(sorted(entry.name for entry in top.iterdir() if entry.is_dir())) or "none"
        raise DataError(
            f"there is no subject {subject!r} in {top}; its subjects: {known}; choose one of them"
        )
    names = [f"{subject}/{name}" for name in list_pictures(folder)]
    yield from _examples(root, top, names, "train", counts)


def read_subjects(root: Path) -> dict[str, str]:
    """Return the class of each subject, as ``prompts_and_classes.txt`` lists them.

    Raises:
        DataError: the file is missing or has no such list.
    """
    path, lines = _prompt_lines(root)
    header = next(
        (index for index, line in enumerate(lines) if line.replace(" ", "") == "subject_name,class"), None
    )
    if header is None:
        raise DataError(
            f"{path} has no line 'subject_name,class' before its subjects; take the official file"
        )
    subjects: dict[str, str] = {}
    for line in lines[header + 1 :]:
        if "," not in line:
            break
        subject, class_name = line.split(",", 1)
        subjects[subject.strip()] = class_name.strip()
    return subjects


def read_prompts(root: Path, live: bool) -> list[str]:
    """Return the prompt templates for live subjects or for objects, in the file's order.

    In a template ``{0}`` stands for the subject's token and ``{1}`` for its class:
    ``template.format("sks", "dog")``.

    Raises:
        DataError: the file is missing, has no such list, or a template with other fields.
    """
    path, lines = _prompt_lines(root)
    heading = _HEADINGS[live]
    if heading not in lines:
        raise DataError(f"{path} has no heading {heading!r}; take the official file")
    templates: list[str] = []
    for line in lines[lines.index(heading) + 1 :]:
        if line in _HEADINGS.values():
            break
        match = _PROMPT.fullmatch(line)
        if match:
            templates.append(_template(path, match["literal"]))
        elif "format" in line:
            raise DataError(f"{path}: {line!r} is no prompt of the official form; mend the line")
    if not templates:
        raise DataError(f"{path} lists no prompt below {heading!r}; take the official file")
    return templates


def _top(root: Path) -> Path:
    return require_folder(root / "dataset" if (root / "dataset").is_dir() else root, LAYOUT)


def _examples(root: Path, top: Path, names: list[str], split: Split, counts: Counts) -> Iterator[Example]:
    licence = licence_tag(root, LICENCE)
    for key, name in sorted_keys(names):
        counts.seen += 1
        yield Example(key, top / name, None, (), split, licence)


def _prompt_lines(root: Path) -> tuple[Path, list[str]]:
    path = require_file(_top(root) / _PROMPTS_FILE, LAYOUT)
    return path, [line.strip() for line in read_text_file(path).splitlines()]


def _template(path: Path, literal: str) -> str:
    """A quoted string of the file as a template that is safe to format: fields {0} and {1}, nothing else."""
    try:
        template = str(ast.literal_eval(literal))
        fields = [
            (field, spec, conversion) for _, field, spec, conversion in string.Formatter().parse(template)
        ]
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{path}: {literal} is not a quoted template ({error}); mend the line") from error
    if any(field not in (None, "0", "1") or spec or conversion for field, spec, conversion in fields):
        raise DataError(
            f"{path}: a prompt may hold the fields {{0}} and {{1}} alone, got {literal}; mend the line"
        )
    return template


READER = Reader(
    "dreambooth", "google/dreambooth", read_dreambooth, sources=(WORLD, "download"), official="DreamBooth"
)
