"""Text-to-image with a conditioning image, for an adapter trained by oft-pipeline.

    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    pipeline("a red house", image=condition).images[0]

The adapter is merged into the UNet's weights; the hint encoder is a component of its own.
"""

from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

# The encoder halves a conditioning image three times.
FACTOR = 8


def _size_of(image: Any) -> tuple[int, int]:
    """Return height and width of a conditioning image, in whole latents."""
    if isinstance(image, Image.Image):
        width, height = image.size
    else:
        height, width = image.shape[-2:] if isinstance(image, torch.Tensor) else image.shape[-3:-1]
    return height - height % FACTOR, width - width % FACTOR


class HintControlPipeline(StableDiffusionPipeline):
    """StableDiffusionPipeline whose UNet also sees a conditioning image."""

    model_cpu_offload_seq = "hint_encoder->text_encoder->image_encoder->unet->vae"

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: Any,
        scheduler: Any,
        safety_checker: Any,
        feature_extractor: Any,
        hint_encoder: Any,
        image_encoder: Any = None,
        requires_safety_checker: bool = False,
    ) -> None:
        if text_encoder is not None and text_encoder.dtype != unet.dtype:
            text_encoder.to(unet.dtype)  # transformers keeps the type of the file where diffusers does not
        super().__init__(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
            requires_safety_checker=requires_safety_checker,
        )
        self.register_modules(hint_encoder=hint_encoder)
        self.control_image_processor = VaeImageProcessor(
            vae_scale_factor=FACTOR, do_convert_rgb=True, do_normalize=False
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: Any = None,
        image: Any = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_images_per_prompt: int = 1,
        guidance_scale: float = 7.5,
        conditioning_scale: float = 1.0,
        guess_mode: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Draw as StableDiffusionPipeline does, led by conditioning images.

        Args:
            image: one conditioning image for each prompt, or one for all: PIL, arrays or tensors in 0..1; of
                another size they are resized to ``height`` x ``width``, which are the first one's by default.
                None draws without.
            conditioning_scale: what the features are multiplied by.
            guess_mode: let only the conditional half of guidance see the image.
            kwargs: as StableDiffusionPipeline's.
        """
        more = {
            "num_images_per_prompt": num_images_per_prompt,
            "guidance_scale": guidance_scale,
            **kwargs,
        }
        if image is None:
            return super().__call__(prompt, height=height, width=width, **more)
        if height is None or width is None:
            found = _size_of(image[0] if isinstance(image, list | tuple) else image)
            height, width = height or found[0], width or found[1]
        images = self.control_image_processor.preprocess(image, height=height, width=width)
        encoder = self.hint_encoder
        features = encoder(images.to(self._execution_device, encoder.dtype)) * conditioning_scale
        features = features.repeat_interleave(num_images_per_prompt, dim=0)
        if guess_mode and guidance_scale > 1:
            prompts = 1 if isinstance(prompt, str) else len(prompt or kwargs["prompt_embeds"])
            features = features.expand(max(len(features), prompts * num_images_per_prompt), -1, -1, -1)
            features = torch.cat([torch.zeros_like(features), features])

        def add_features(conv_in: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            # A batch holds one copy of the samples for each half of guidance.
            copies, remainder = divmod(len(output), len(features))
            if remainder or features.shape[2:] != output.shape[2:]:
                raise ValueError(
                    f"{len(features)} conditioning images of {height}x{width} do not fit a batch of "
                    f"{len(output)} latents of {tuple(output.shape[2:])}; give one image, or one a prompt, "
                    f"and a size that is {FACTOR} times the latents'"
                )
            return output + features.to(output.dtype).repeat(copies, 1, 1, 1)

        handle = self.unet.conv_in.register_forward_hook(add_features)
        try:
            return super().__call__(prompt, height=height, width=width, **more)
        finally:
            handle.remove()
