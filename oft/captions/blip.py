"""BLIP (Li et al. 2022): a network that describes pictures."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from oft.models.pretrained import load_pretrained

if TYPE_CHECKING:
    from PIL import Image

    from oft.settings.data import Blip


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

        return load_pretrained(
            "blip.model",
            self._settings.model,
            BlipProcessor,
            BlipForConditionalGeneration,
            self._device,
            dtype=torch.bfloat16 if self._device == "cuda" else torch.float32,
        )
