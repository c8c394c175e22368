"""Pictures drawn over others: from one that is partly noise, whole (img2img) or inside a mask (inpainting).

diffusers' own pipeline runs the steps. Its inpainting pipeline takes latents of four channels alone, so the
latents outside a mask are put back here, as it does: after each step, as noisy as that step leaves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from oft.models.base import make_pipeline
from oft.models.latents import encode_pictures

if TYPE_CHECKING:
    from oft.models.base import Base


def redrawing_pipeline(base: Base) -> Any:
    """Return diffusers' image-to-image pipeline over the loaded networks, started from latents of our own.

    (Its own preparation takes a picture of four channels for latents, and draws from the autoencoder's
    posterior; here the mean is taken, so that little noise leaves little changed.)
    """
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline

    plain: Any = StableDiffusionImg2ImgPipeline
    if base.text_encoder_2 is not None:
        plain = StableDiffusionXLImg2ImgPipeline

    class RedrawingPipeline(plain):
        start: Tensor
        noise: Tensor

        def prepare_latents(self, image: Any, timestep: Tensor, *arguments: Any, **named: Any) -> Tensor:
            latents: Tensor = self.scheduler.add_noise(self.start, self.noise, timestep)
            return latents

    return make_pipeline(base, RedrawingPipeline)


def draw_over(
    base: Base,
    pipeline: Any,
    pictures: Sequence[UInt8[np.ndarray, "side side 3"]],
    masks: Sequence[Bool[np.ndarray, "side side"]] | None,
    strength: float,
    noise: Float[Tensor, "n channels rows columns"],
    arguments: Mapping[str, Any],
) -> Float[Tensor, "n 3 side side"]:
    """Return ``pictures`` drawn over, in 0..1; outside ``masks`` they keep their pixels.

    Args:
        pipeline: of ``redrawing_pipeline``, with its scheduler set.
        strength: the share of the steps that is taken; diffusers' name of it.
        noise: a sample of it for each picture.
        arguments: what else the pipeline is called with.
    """
    device = base.unet.device
    originals = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    start = encode_pictures(base, originals)[:, 0].to(device)
    pipeline.start, pipeline.noise = start, noise.to(device)
    inside = None
    if masks is not None:
        anew = torch.from_numpy(np.stack(masks))[:, None].float()
        # A latent is drawn anew if any pixel of it is.
        inside = F.adaptive_max_pool2d(anew, start.shape[-2:]).to(device)

    def keep_outside(pipe: Any, step: int, timestep: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if inside is None:
            return {}
        timesteps = pipe.scheduler.timesteps[-pipe.num_timesteps :]
        known = start
        if step + 1 < len(timesteps):
            known = pipe.scheduler.add_noise(start, pipeline.noise, timesteps[step + 1 : step + 2])
        return {"latents": inside * values["latents"] + (1 - inside) * known}

    drawn: Tensor = pipeline(
        image=originals.float() / 255,
        strength=strength,
        callback_on_step_end=keep_outside,
        **arguments,
    ).images
    if masks is None:
        return drawn
    return torch.where(anew.bool().to(drawn.device), drawn, originals.to(drawn.device) / 255)
