"""Every word that a caption or prompt of the miniature world can contain."""

from __future__ import annotations

import re

from miniature.world.backdrops import RUG_COLOURS, TABLE_COLOURS
from miniature.world.colours import NAMED
from miniature.world.phrases import NUMBERS, PLURALS
from miniature.world.prompts import LIVE_PROMPTS, OBJECT_PROMPTS
from miniature.world.things import HAIRS
from miniature.world.toys import KINDS

_WORDS = """
a an and are at background behind beside by front from has in is of on one over photo picture scene seen sks
the there this toy under wearing with near next to
sky cloudy clear evening day daylight sun moon clouds mountain grass field sand sea water road house building
tree car boat fence person people snow city table floor wooden rug room wall brick window pavement
ball cup dog bottle flower
bald brows circle closed eyes face level mouth open portrait raised smiling
woman man dress shirt skirt trousers shorts sleeves long short no hair striped dotted
several nothing
"""


def words_of(text: str) -> list[str]:
    """Return the words and commas of a caption or prompt, in order."""
    return re.findall(r"[a-z]+|[,.]", text)


def world_words() -> tuple[str, ...]:
    """Return the lower-case words, comma and full stop that make up captions and prompts, sorted."""
    words = set(_WORDS.split()) | {",", "."}
    words |= {*NAMED, *HAIRS, *RUG_COLOURS, *TABLE_COLOURS, *KINDS, *NUMBERS, *PLURALS, *PLURALS.values()}
    for prompt in (*OBJECT_PROMPTS, *LIVE_PROMPTS):
        words.update(words_of(prompt))
    return tuple(sorted(words))
