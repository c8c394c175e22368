"""BLIP (Li et al. 2022): a network that describes pictures."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.errors import CheckpointError

if TYPE_CHECKING:
    from PIL import Image

    from oft.params import Blip


class BlipCaptioner:
    """Describes batches of pictures by beam search, without randomness; loads the network when first asked.

    It computes in bf16 on a GPU and in fp32 elsewhere. A caption depends on the rest of its batch by rounding
    alone.
    """

    def __init__(self, settings: Blip, device: str) -> None:
        self._settings, self._device = settings, device

    def __call__(self, pictures: list[Image.Image]) -> list[str]:
        """Return a caption of each RGB picture.

        Raises:
            CheckpointError: the model is missing, out of reach or not a BLIP captioning model.
        """
        import torch

        processor, network = self._loaded
        pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            tokens = network.generate(
                pixel_values=pixels.to(network.device, network.dtype),
                num_beams=self._settings.num_beams,
                do_sample=False,
                max_new_tokens=self._settings.max_new_tokens,
            )
        captions: list[str] = processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return captions

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import BlipForConditionalGeneration, BlipProcessor

        model = self._settings.model
        name, _, revision = (model, "", "") if Path(model).exists() else model.partition("@")
        try:
            processor = BlipProcessor.from_pretrained(name, revision=revision or "main")
            loaded: Any = BlipForConditionalGeneration.from_pretrained(
                name,
                revision=revision or "main",
                dtype=torch.bfloat16 if self._device == "cuda" else torch.float32,
                use_safetensors=True,
                output_loading_info=True,
            )
        except Exception as error:  # OSError, ValueError, RuntimeError, SafetensorError, httpx's errors ...
            raise CheckpointError(_fault(model, str(error))) from error
        network, loading = loaded
        missing = sorted(loading["missing_keys"])
        if missing:
            raise CheckpointError(
                _fault(model, f"it has no weights for {len(missing)} tensors, {missing[0]} among them")
            )
        return processor, network.to(self._device).eval()


def _fault(model: str, fault: str) -> str:
    first_line = fault.strip().splitlines()[0] if fault.strip() else "no reason given"
    return (
        f"cannot load the BLIP captioner {model!r}: {first_line}. blip.model must be a folder with the "
        "config, processor, tokenizer and model.safetensors of a BLIP captioning model, or the id of one on "
        "the hub (id@revision for a certain revision); weights that are pickles are refused. Without a "
        "network: on a machine with one run `hf download Salesforce/blip-image-captioning-large --local-dir "
        "blip`, copy the folder here and give its path; or choose the data set's own captions."
    )
