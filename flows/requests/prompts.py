"""Prompts of a request: which characters they may have, and how they name the subject and its class."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from oft.errors import ParamsError

MAX_PROMPT_CHARS = 300

# Letters of any script and digits, single spaces, plain punctuation: nothing that a shell, a template or a
# page could take for its own.
_PLAIN = re.compile(r"[\w.,:;!?'()&/%+-]")
_JOINERS = "\u200c\u200d"  # without a width of their own: they shape the letters of Persian and Hindi
_SUBJECT_FILE = "prompts_and_classes.txt"


class Subject(NamedTuple):
    """The subject that an instance prompt and a class prompt define together.

    Attributes:
        identifier: the word that stands for the subject.
        class_name: the words after it.
        instance_prompt: the instance prompt with ``{identifier}`` and ``{class}`` in their places.
        class_prompt: the class prompt with ``{class}`` in its place.
    """

    identifier: str
    class_name: str
    instance_prompt: str
    class_prompt: str


def normalize(prompt: str) -> str:
    """Return the prompt with composed letters: a Mac writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", prompt)


def check_plain(prompt: str) -> str:
    """Return the prompt, normalized.

    Raises:
        ValueError: it has other characters than words have, more than one space together, or is too long.
    """
    prompt = normalize(prompt)
    if len(prompt) > MAX_PROMPT_CHARS:
        raise ValueError(f"must be at most {MAX_PROMPT_CHARS} characters long, and has {len(prompt)}")
    odd = sorted({prompt[place] for place in range(len(prompt)) if not _is_plain(prompt, place)} - {" "})
    if odd or prompt.split(" ") != prompt.split():
        said = f"; it has {' '.join(map(ascii, odd[:5]))}" if odd else ""
        raise ValueError(
            "must be one line of words, one space between two, with no other signs than "
            f". , : ; ! ? ' ( ) & / % + -{said}"
        )
    return prompt


def _is_plain(prompt: str, place: int) -> bool:
    """Whether a character is plain where it stands: marks, such as vowels of Hindi, on a letter alone.

    A joiner may stand between, as in Bengali's RA, ZWJ, VIRAMA.
    """
    character = prompt[place]
    is_mark = unicodedata.category(character).startswith("M")
    if not is_mark and character not in _JOINERS:
        return _PLAIN.fullmatch(character) is not None
    before = prompt[place - 1] if place else " "
    return (
        before.isalnum() or unicodedata.category(before).startswith("M") or (is_mark and before in _JOINERS)
    )


def split_prompts(instance_prompt: str, class_prompt: str) -> Subject:
    """Return the subject that an instance prompt adds to a class prompt by one word before the class.

    "a photo of sks robot" and "a photo of robot" are about the class "robot", the subject of which is "sks".

    Raises:
        ParamsError: the prompts differ by something else, or that word is in the class prompt too.
    """
    instance, of_class = normalize(instance_prompt).split(" "), normalize(class_prompt).split(" ")
    for place in range(len(of_class)):
        identifier = instance[place] if place < len(instance) else ""
        if [*of_class[:place], identifier, *of_class[place:]] == instance and identifier not in of_class:
            start = "".join(f"{word} " for word in of_class[:place])
            return Subject(
                identifier,
                " ".join(of_class[place:]),
                f"{start}{{identifier}} {{class}}",
                f"{start}{{class}}",
            )
    raise ParamsError(
        "must be class_prompt with one word more, which stands for the subject, before the class and nowhere "
        "else: 'a photo of sks robot' for class_prompt 'a photo of robot'"
    )


def subject_file(subject: str, class_name: str, prompts: Sequence[str]) -> tuple[str, str]:
    """Return name and text of google/dreambooth's file of a subject's class and its prompts.

    The prompts stand under both of its headings: which is read depends on the class.
    """
    lines = ["Classes", "subject_name,class", f"{subject},{class_name}", ""]
    for heading in ("Object Prompts", "Live Subject Prompts"):
        listed = [f"{prompt!r}.format(unique_token, class_token)," for prompt in prompts]
        lines += [heading, "prompt_list = [", *listed, "]", ""]
    return _SUBJECT_FILE, "\n".join(lines)
