"""From the captions found for a picture to those it is trained with: cleaned, chosen, put into a template."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from oft.params import CAPTION_FIELD
from oft.seeding import derive_seed

if TYPE_CHECKING:
    from oft.params import Captioning

MAX_CAPTION_CHARS = 2000
"""Text encoders read far less: CLIP's 77 tokens are about 300 characters, T5's 512 about 2,000."""

# Control characters, halves of surrogate pairs (which UTF-8 cannot hold), byte order marks, and what stands
# for bytes that were no UTF-8.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffd]")


def prepare_captions(found: Iterable[str], settings: Captioning, seed: int, key: str) -> tuple[str, ...]:
    """Return the captions of the picture ``key``, by the rule and template of its data set's settings.

    Empty captions do not count. A picture without a caption stays without, unless the template is the
    caption of every picture.

    Args:
        found: the picture's captions as its data set, BLIP or a prompt file has them.
        settings: see ``captions`` in conf/defaults.yaml.
        seed: the run's; with the key it decides what the rule "random" draws.
        key: the picture's.
    """
    if CAPTION_FIELD not in settings.template:
        return (clean_caption(settings.template),)
    captions = [cleaned for caption in found if (cleaned := clean_caption(caption))]
    match settings.rule:
        case "first":
            captions = captions[:1]
        case "random" if captions:
            captions = [captions[derive_seed(seed, "caption", key) % len(captions)]]
    # Not str.format: a caption may hold braces of its own.
    return tuple(settings.template.replace(CAPTION_FIELD, caption).strip() for caption in captions)


def clean_caption(text: str) -> str:
    """Return a caption on one line, without characters that no prompt can use, cut at a word if too long."""
    caption = " ".join(_UNUSABLE.sub(" ", text).split())
    if len(caption) <= MAX_CAPTION_CHARS:
        return caption
    words, _, _ = caption[: MAX_CAPTION_CHARS + 1].rpartition(" ")
    return words or caption[:MAX_CAPTION_CHARS]
