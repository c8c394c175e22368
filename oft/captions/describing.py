"""Captions by a network, batch by batch: an interrupted captioning goes on after its last whole batch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from oft.datasets.decoding import Unusable, Wanted, decode
from oft.parallel import parallel_map

if TYPE_CHECKING:
    from PIL import Image

    from oft.captions.captioning import Captioned
    from oft.captions.journal import Journal
    from oft.types import Counts, Example, Examples

Captioner = Callable[[list["Image.Image"]], list[str]]
"""Returns a caption of each picture."""

SEEN_PX = 384
"""The side of the square that BLIP sees; larger pictures are reduced towards it, by a whole number."""


def describe_pictures(
    examples: Examples, counts: Counts, captioner: Captioner, batch_size: int, journal: Journal
) -> Captioned:
    """Yield key and caption of each usable picture; other processes decode pictures ahead of the network.

    A batch is ``batch_size`` examples that follow each other, those that cannot be decoded among them. So a
    run that goes on forms the batches it would have formed uninterrupted, and writes the same captions.

    Args:
        examples: what a reader yields.
        counts: the tally that the reader of ``examples`` keeps as well.
        captioner: asked about pictures that the journal does not know.
        batch_size: examples a batch.
        journal: what an interrupted run finished; gets each batch when it is done.
    """
    while batch := list(islice(examples, batch_size)):
        done = journal.recall()
        if done is None:
            break
        yield from _captions_of(done, counts)
    looked_at = parallel_map(_load_shrunk, chain(batch, examples), "caption")
    while looks := list(islice(looked_at, batch_size)):
        done = _describe(looks, captioner)
        journal.record(done)
        yield from _captions_of(done, counts)


def _load_shrunk(example: Example) -> tuple[str, Image.Image] | Unusable:
    """Return key and picture, no larger than it need be: many wait at a time, on their way from processes."""
    try:
        image = decode(example, Wanted()).image
    except Unusable as unusable:
        return unusable
    return example.key, image.reduce(max(1, min(image.size) // SEEN_PX))


def _describe(looks: list[tuple[str, Image.Image] | Unusable], captioner: Captioner) -> dict[str, Any]:
    dropped = [(look.reason, look.name) for look in looks if isinstance(look, Unusable)]
    pictures = dict(look for look in looks if not isinstance(look, Unusable))
    captions = captioner(list(pictures.values())) if pictures else []
    return {"captions": dict(zip(pictures, captions, strict=True)), "dropped": dropped}


def _captions_of(done: dict[str, Any], counts: Counts) -> Captioned:
    counts.kept += len(done["captions"])
    for reason, name in done["dropped"]:
        counts.drop(reason, name)
    for key, caption in done["captions"].items():
        yield key, (caption,)
