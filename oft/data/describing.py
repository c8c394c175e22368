"""Captions by a network, batch by batch: an interrupted captioning goes on after its last whole batch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from oft.data.decoding import Unusable, Wanted, decode

if TYPE_CHECKING:
    from PIL import Image

    from oft.data.captioning import Captioned
    from oft.data.journal import Journal
    from oft.types import Counts, Example, Examples

Captioner = Callable[[list["Image.Image"]], list[str]]
"""Returns a caption of each picture."""


def describe_pictures(
    examples: Examples, counts: Counts, captioner: Captioner, batch_size: int, journal: Journal
) -> Captioned:
    """Yield key and caption of each usable picture.

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
            done = _describe_batch(batch, captioner)
            journal.record(done)
        counts.kept += len(done["captions"])
        for reason, name in done["dropped"]:
            counts.drop(reason, name)
        for key, caption in done["captions"].items():
            yield key, (caption,)


def _describe_batch(batch: list[Example], captioner: Captioner) -> dict[str, Any]:
    keys, pictures, dropped = [], [], []
    for example in batch:
        try:
            pictures.append(decode(example, Wanted()).image)
        except Unusable as error:
            dropped.append((error.reason, error.name))
        else:
            keys.append(example.key)
    captions = captioner(pictures) if pictures else []
    return {"captions": dict(zip(keys, captions, strict=True)), "dropped": dropped}
