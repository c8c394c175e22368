"""Every word that a caption or prompt of the miniature world can contain."""

from __future__ import annotations

import re

from miniature.world.backdrops import TABLE_COLOURS, WALL_COLOURS
from miniature.world.colours import NAMED
from miniature.world.phrases import NUMBERS, PLURALS
from miniature.world.prompts import LIVE_PROMPTS, OBJECT_PROMPTS
from miniature.world.things import HAIRS
from miniature.world.toys import KINDS, MARKINGS, PARTS

_WORDS = """
a an and are at background behind beside by from front has in is of on one over photo picture scene seen sks
the there this toy under wearing with near next to
sky clear evening day daylight mountain grass sand sea water road house building
tree fir car boat person people snow city table floor room wall
ball cup dog flower
woman man dress shirt skirt trousers shorts sleeves long short no hair
bald brows circle closed eyes face level mouth open portrait raised smiling
several nothing
"""


def words_of(text: str) -> list[str]:
    """Return the words and commas of a caption or prompt, in order."""
    return re.findall(r"[a-z]+|[,.]", text)


def world_words() -> tuple[str, ...]:
    """Return the lower-case words, comma and full stop that make up captions and prompts, sorted."""
    words = set(_WORDS.split()) | {",", "."}
    words |= {*NAMED, *HAIRS, *WALL_COLOURS, *TABLE_COLOURS, *NUMBERS}
    words |= {*KINDS, *MARKINGS, *PARTS.values()}
    for words_in_one in (*PLURALS, *PLURALS.values()):
        words.update(words_of(words_in_one))
    for prompt in (*OBJECT_PROMPTS, *LIVE_PROMPTS):
        words.update(words_of(prompt))
    return tuple(sorted(words))
