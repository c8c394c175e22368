"""From all captions of a picture to those it is trained with: chosen by a rule, put into a template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oft.seeding import derive_seed
from oft.settings.data import CAPTION_FIELD

if TYPE_CHECKING:
    from oft.settings.data import Captioning


def choose_captions(captions: Sequence[str], settings: Captioning, seed: int, key: str) -> tuple[str, ...]:
    """Return the captions that the picture ``key`` is trained with.

    A picture without a caption stays without, unless the template is the caption of every picture.

    Args:
        captions: all that there are of it.
        settings: of its data set; see ``captions`` in conf/defaults.yaml.
        seed: the run's; with the key it decides what the rule "random" draws.
        key: the picture's.
    """
    if CAPTION_FIELD not in settings.template:
        return (settings.template.strip(),)
    match settings.rule:
        case "first":
            captions = captions[:1]
        case "random" if captions:
            captions = [captions[derive_seed(seed, "caption", key) % len(captions)]]
    # Not str.format: a caption may hold braces of its own.
    return tuple(settings.template.replace(CAPTION_FIELD, caption).strip() for caption in captions)
