"""A user's own prompts for a subject: a text file with one a line."""

from __future__ import annotations

import string
from pathlib import Path

from oft.datasets.layout import read_text_file
from oft.errors import DataError

RULE = (
    "a prompt names the subject by {} (its word and class together) or by {identifier}, may have {class} "
    "beside {identifier}, and no other brace"
)
_FIELDS = ({""}, {"identifier"}, {"identifier", "class"})


def read_prompt_list(path: Path) -> list[str]:
    """Return the prompts of a file as templates with ``{identifier}`` and ``{class}``, in its order.

    Empty lines are passed over; ``{}`` is short for ``{identifier} {class}``.

    Raises:
        DataError: the file is missing, no text or without a prompt, or a line breaks `RULE`; the message
            names the line.
    """
    if not path.is_file():
        raise DataError(f"there is no file of prompts {path}; write it, one prompt a line: {RULE}")
    templates = []
    for number, line in enumerate(read_text_file(path).splitlines(), start=1):
        if prompt := line.strip():
            templates.append(_template(prompt, f"{path}, line {number}"))
    if not templates:
        raise DataError(f"{path} has no prompt; write one a line: {RULE}")
    return templates


def _template(prompt: str, place: str) -> str:
    try:
        parts = [part for part in string.Formatter().parse(prompt) if part[1] is not None]
    except ValueError:
        parts = []
    fields = [str(name) for _, name, _, _ in parts]
    is_plain = not any(spec or conversion for _, _, spec, conversion in parts)
    braces = sum(map(prompt.count, "{}"))
    is_sound = is_plain and set(fields) in _FIELDS and braces == 2 * len(fields)
    if not is_sound or not prompt.isprintable():
        raise DataError(f"{place}: {prompt!r}; {RULE}; mend the line, for example 'a {{}} in the snow'")
    return prompt.replace("{}", "{identifier} {class}")
