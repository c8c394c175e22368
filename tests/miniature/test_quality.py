"""What the base is asked to draw, and what else the judge could say of it."""

from __future__ import annotations

from miniature.pool import render_pool
from miniature.quality import colour_rivals, single_things, thing_rivals
from miniature.world.objects import OBJECT_KINDS


def test_single_things_are_taken_from_captions_of_one_thing() -> None:
    pool = render_pool("object", 60, 0)
    things = single_things(pool)
    assert 20 <= len(things) < 50
    for thing in things:
        assert pool.captions[thing.index][0] == thing.caption
        colour = f"{thing.colour} " if thing.colour else ""
        assert f"{colour}{thing.kind} {thing.phrase}" in thing.caption
        assert " and " not in thing.caption and "two" not in thing.caption


def test_rivals_are_the_truth_first_and_every_other_kind_or_colour_once() -> None:
    for thing in single_things(render_pool("object", 60, 0)):
        named = thing_rivals(thing)
        assert named[0] == f"a {thing.kind} {thing.phrase}"
        assert len(set(named)) == len(OBJECT_KINDS)
        coloured = colour_rivals(thing)
        if thing.colour:
            assert coloured[0] == thing.caption
            assert len(set(coloured)) == len(OBJECT_KINDS[thing.kind].colours)
        else:
            assert coloured == []
