"""Captions: the data set's own, or written by BLIP; kept as one JSON line a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from oft.data.keys import stable_hash
from oft.errors import CheckpointError, DataError
from oft.storage import atomic_file
from oft.types import SPLITS, Example, Split

if TYPE_CHECKING:
    from PIL import Image

CaptionRule = Literal["first", "random", "all"]

_LINE_RULE = 'each line holds {"key", "split", "captions": [text, ...]}'


@dataclass(frozen=True)
class CaptionRecord:
    """The captions of one picture, possibly none."""

    key: str
    split: Split
    captions: tuple[str, ...]


def own_captions(examples: Iterable[Example]) -> Iterator[CaptionRecord]:
    """Yield the captions that the data set gives."""
    for example in examples:
        yield CaptionRecord(example.key, example.split, example.captions)


def write_captions(target: Path, records: Iterable[CaptionRecord]) -> None:
    """Write ``captions.jsonl``, sorted by key: equal records give equal bytes.

    Raises:
        DataError: two records have one key.
    """
    ordered = sorted(records, key=lambda record: record.key)
    for previous, record in pairwise(ordered):
        if previous.key == record.key:
            raise DataError(f"{target}: key {record.key!r} occurs twice; keys are unique in a data set")
    with atomic_file(target) as partial, partial.open("w", encoding="utf-8") as stream:
        for record in ordered:
            entry = {"key": record.key, "split": record.split, "captions": list(record.captions)}
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_captions(source: Path, split: Split | None = None) -> dict[str, tuple[str, ...]]:
    """Return the captions of each key, of one split or of all.

    Raises:
        DataError: the file is missing or a line has another form; the message names the line.
    """
    if not Path(source).is_file():
        raise DataError(
            f"there is no caption file {source}; run the stage `caption` (`dvc repro caption@<dataset>`)"
        )
    captions: dict[str, tuple[str, ...]] = {}
    with Path(source).open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            record = _parse(source, number, line)
            if split in (None, record.split):
                captions[record.key] = record.captions
    return captions


def choose_caption(
    captions: Sequence[str], rule: Literal["first", "random"], *, key: str = "", seed: int = 0, epoch: int = 0
) -> str:
    """Return one of a picture's captions, '' where it has none.

    ``random`` depends on seed, key and epoch alone: not on the order of pictures, the machine or the process.
    """
    if not captions:
        return ""
    if rule == "first":
        return captions[0]
    return captions[int(stable_hash(f"{seed}/{epoch}/{key}"), 16) % len(captions)]


def select_captions(
    captions: Sequence[str], rule: CaptionRule, *, key: str = "", seed: int = 0
) -> tuple[str, ...]:
    """Return the captions that a shard keeps: all of them, or the one that `choose_caption` picks."""
    if rule == "all" or not captions:
        return tuple(captions)
    return (choose_caption(captions, rule, key=key, seed=seed),)


def caption_with_blip(
    pictures: Iterable[tuple[str, Image.Image]],
    model: str,
    batch_size: int = 8,
    num_beams: int = 3,
    device: str = "cpu",
    done: Mapping[str, str] | None = None,
    max_new_tokens: int = 40,
) -> Iterator[tuple[str, str]]:
    """Yield (key, caption) for each picture, by BLIP (Li et al. 2022) with beam search: no randomness.

    Args:
        pictures: (key, RGB picture).
        model: a folder with a BLIP captioning model in transformers' layout, or its id on the hub, with
            ``@revision`` behind it for a certain revision.
        batch_size: pictures captioned at once; captions do not depend on it beyond rounding.
        num_beams: beams of the search; 1 is greedy decoding.
        device: torch device.
        done: captions there are already; their keys are skipped, so that an interrupted run goes on where it
            was.
        max_new_tokens: longest caption, in tokens.

    Raises:
        CheckpointError: the model is missing, out of reach or not a BLIP captioning model.
    """
    remaining = ((key, image) for key, image in pictures if key not in (done or {}))
    generator = None
    while batch := list(islice(remaining, batch_size)):
        if generator is None:
            generator = _load_blip(model, device)
        keys = [key for key, _ in batch]
        yield from zip(
            keys,
            _generate(*generator, [image for _, image in batch], num_beams, max_new_tokens),
            strict=True,
        )


def _parse(source: Path, number: int, line: str) -> CaptionRecord:
    try:
        entry = json.loads(line)
        key, split, captions = entry["key"], entry["split"], entry["captions"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}, line {number}: {error!r}; {_LINE_RULE}; mend the line") from error
    sound = isinstance(key, str) and split in SPLITS and isinstance(captions, list)
    if not sound or not all(isinstance(caption, str) for caption in captions):
        raise DataError(f"{source}, line {number}: got {line.strip()[:80]}; {_LINE_RULE}; mend the line")
    return CaptionRecord(key, cast(Split, split), tuple(captions))


def _load_blip(model: str, device: str) -> tuple[Any, Any]:
    from transformers import BlipForConditionalGeneration, BlipProcessor

    name, _, revision = (model, "", "") if Path(model).exists() else model.partition("@")
    try:
        processor = BlipProcessor.from_pretrained(name, revision=revision or "main")
        loaded: Any = BlipForConditionalGeneration.from_pretrained(
            name, revision=revision or "main", use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # OSError, ValueError, RuntimeError, SafetensorError, httpx's errors ...
        raise CheckpointError(_blip_fault(model, str(error))) from error
    network, loading = loaded
    missing = sorted(loading["missing_keys"])
    if missing:
        raise CheckpointError(
            _blip_fault(model, f"it has no weights for {len(missing)} tensors, {missing[0]} among them")
        )
    return processor, network.to(device).eval()


def _blip_fault(model: str, fault: str) -> str:
    first_line = fault.strip().splitlines()[0] if fault.strip() else "no reason given"
    return (
        f"cannot load the BLIP captioner {model!r}: {first_line}. It must be a folder with the config, "
        "processor, tokenizer and model.safetensors of a BLIP captioning model, or the id of one on the hub "
        "(id@revision for a certain revision). Without a network: on a machine with one run "
        "`hf download Salesforce/blip-image-captioning-large --local-dir blip`, copy the folder here and "
        "give its path; or choose the data set's own captions."
    )


def _generate(
    processor: Any, network: Any, images: list[Image.Image], num_beams: int, max_new_tokens: int
) -> list[str]:
    import torch

    pixels = processor(images=images, return_tensors="pt")["pixel_values"].to(network.device, network.dtype)
    with torch.inference_mode():
        tokens = network.generate(
            pixel_values=pixels, num_beams=num_beams, do_sample=False, max_new_tokens=max_new_tokens
        )
    return [
        " ".join(text.split()) for text in processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    ]
