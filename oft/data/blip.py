"""Captions that BLIP (Li et al. 2022) writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.errors import CheckpointError

if TYPE_CHECKING:
    from PIL import Image


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
