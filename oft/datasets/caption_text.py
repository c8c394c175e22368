"""What a caption may be: one line of text, of a length that some text encoder reads."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_CAPTION_CHARS = 2000
"""Text encoders read far less: CLIP's 77 tokens are about 300 characters, T5's 512 about 2,000."""

# Control characters, halves of surrogate pairs (which UTF-8 cannot hold), byte order marks, and what stands
# for bytes that were no UTF-8.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffd]")


_NO_WORDS = re.compile(
    r"(?:dsc[a-z]?|frame|image|img|mvi|p|photo|pic|picture|pxl|screenshot) ?\d[\d .()]*"
    r"|(?=.*\d)[0-9a-f ]{8,}",
    re.IGNORECASE,
)


def clean_caption(text: str) -> str:
    """Return a caption on one line, without characters that no prompt can use, cut at a word if too long."""
    caption = " ".join(_UNUSABLE.sub(" ", text).split())
    if len(caption) <= MAX_CAPTION_CHARS:
        return caption
    words, _, _ = caption[: MAX_CAPTION_CHARS + 1].rpartition(" ")
    return words or caption[:MAX_CAPTION_CHARS]


def words_of_name(stem: str) -> str:
    """Return a picture's file name in words; '' where it has none: a number, a camera's counter, a hash."""
    words = stem.replace("-", " ").replace("_", " ")
    return "" if _NO_WORDS.fullmatch(words) or not any(map(str.isalpha, words)) else words


def usable_captions(found: Iterable[str]) -> tuple[str, ...]:
    """Return captions cleaned, without those that nothing is left of."""
    return tuple(cleaned for caption in found if (cleaned := clean_caption(caption)))
