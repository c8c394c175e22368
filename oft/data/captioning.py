"""Captions for a data set from where its settings say: its own, BLIP's, or a prompt file's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.data.blip import caption_with_blip
from oft.data.captions import CaptionRecord
from oft.data.decoding import Wanted, iterate_pictures
from oft.data.examples import read_dataset
from oft.data.readers.prompt_files import read_prompt_file
from oft.errors import DataError

if TYPE_CHECKING:
    from oft.params import Blip, Dataset
    from oft.types import Counts, Split


def caption_dataset(
    settings: Dataset, blip: Blip, root: Path, counts: dict[Split, Counts], device: str
) -> Iterator[CaptionRecord]:
    """Yield the captions of a data set from where its settings say: its own, BLIP, or a prompt file.

    Raises:
        DataError: the prompt file is missing or damaged, or two pictures have one name in it.
    """
    source = settings.captions.source
    given = None if source in ("own", "blip") else read_prompt_file(Path(source))
    captioned: dict[str, str] = {}
    for split, tally in counts.items():
        examples = read_dataset(settings, root, split, tally)
        if source == "blip":
            decoded = iterate_pictures(examples, tally, Wanted())
            captions = caption_with_blip(
                ((picture.example.key, picture.image) for picture in decoded),
                blip.model,
                blip.batch_size,
                blip.num_beams,
                device,
                max_new_tokens=blip.max_new_tokens,
            )
            for key, caption in captions:
                yield CaptionRecord(key, split, (caption,))
            continue
        for example in examples:
            found = example.captions
            if given is not None:
                stem = example.image.stem
                if captioned.setdefault(stem, example.key) != example.key:
                    raise DataError(
                        f"{source}: it tells pictures apart by the names of their files, and "
                        f"{captioned[stem]} and {example.key} are both {stem!r}; rename one"
                    )
                found = (given[stem],) if given.get(stem) else ()
            tally.kept += 1
            yield CaptionRecord(example.key, split, found)
