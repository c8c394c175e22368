"""One short finetuning of a base on pictures that it does not draw, and how well it does there afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from torch import Tensor

from miniature.pool import render
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.targets import UNET_SUBJECT_TARGETS
from oft.models.latents import encode_pictures
from oft.models.prompts import PromptEmbeds, encode_prompts, join_embeds
from oft.seeding import generator_for
from oft.training.objective import Batch, Denoiser, denoising_losses

if TYPE_CHECKING:
    from oft.adapters.oft.rotation import ParameterScale
    from oft.models.base import Base

NUM_TRAIN_IMAGES = 64
NUM_HELD_OUT_IMAGES = 32
DRAWS_PER_HELD_OUT_IMAGE = 2
BATCH_SIZE = 4
WARMUP_STEPS = 4
MAX_GRAD_NORM = 1.0
FIRST_STEP_RATE = 1e-4
"""Small enough for what a step does to be in proportion to it."""


class Finetuning:
    """Inverted scenes to train on and to be judged on, and a base, whose UNet comes back as it was."""

    def __init__(self, base: Base, seed: int) -> None:
        """Render and encode the pictures; ``seed`` decides them, every batch and all noise."""
        self.base = base
        self.seed = seed
        self._latents, self._embeds = _encode_scenes(base, seed, range(NUM_TRAIN_IMAGES))
        held_out = range(NUM_TRAIN_IMAGES, NUM_TRAIN_IMAGES + NUM_HELD_OUT_IMAGES)
        latents, embeds = _encode_scenes(base, seed, held_out)
        generator = generator_for(seed, "held out")
        self._held_out = self._add_noise(
            latents.repeat(DRAWS_PER_HELD_OUT_IMAGE, 1, 1, 1),
            join_embeds([embeds] * DRAWS_PER_HELD_OUT_IMAGE),
            generator,
        )

    def held_out_loss(self) -> float:
        """Return the loss of the UNet as it is on the held-out pictures."""
        with torch.no_grad():
            return self._loss(self._held_out).item()

    def train(
        self, num_blocks: int, parameter_scale: ParameterScale, learning_rate: float, max_train_steps: int
    ) -> float:
        """Return the held-out loss after a training of a fresh adapter, with AdamW, warm-up and cosine."""
        adapter, optimizer = self._inject(num_blocks, parameter_scale, learning_rate)
        schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP_STEPS, max_train_steps)
        generator = generator_for(self.seed, "training")
        try:
            for _ in range(max_train_steps):
                self._loss(self._draw_batch(generator)).backward()
                torch.nn.utils.clip_grad_norm_(adapter.adapter_parameters(), MAX_GRAD_NORM)
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
            return self.held_out_loss()
        finally:
            adapter.remove()

    def first_step(self, num_blocks: int, parameter_scale: ParameterScale) -> float:
        """Return how far Adam's first step moves the prediction for its own batch.

        As a share of the prediction's norm, and for each unit of the learning rate.
        """
        adapter, optimizer = self._inject(num_blocks, parameter_scale, FIRST_STEP_RATE)
        batch = self._draw_batch(generator_for(self.seed, "first step"))
        try:
            before = self._predict(batch).detach()
            self._loss(batch).backward()
            optimizer.step()
            with torch.no_grad():
                change = (self._predict(batch) - before).norm() / before.norm()
            return change.item() / FIRST_STEP_RATE
        finally:
            adapter.remove()

    def _inject(
        self, num_blocks: int, parameter_scale: ParameterScale, learning_rate: float
    ) -> tuple[OFTAdapter, torch.optim.AdamW]:
        config = OFTConfig(UNET_SUBJECT_TARGETS, num_blocks=num_blocks, parameter_scale=parameter_scale)
        adapter = inject_oft(self.base.unet, config)
        return adapter, torch.optim.AdamW(adapter.adapter_parameters(), lr=learning_rate, weight_decay=0.0)

    def _draw_batch(self, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(self._latents), (BATCH_SIZE,), generator=generator)
        return self._add_noise(self._latents[chosen], self._embeds[chosen.tolist()], generator)

    def _add_noise(self, latents: Tensor, embeds: PromptEmbeds, generator: torch.Generator) -> Batch:
        scheduler, device = self.base.noise_scheduler, self.base.unet.device
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), generator=generator)
        return Batch(latents.to(device), noise.to(device), timesteps.to(device), embeds, None)

    def _predict(self, batch: Batch) -> Tensor:
        noisy = self.base.noise_scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        assert batch.prompt_embeds is not None
        output: Tensor = self.base.unet(noisy, batch.timesteps, batch.prompt_embeds.hidden_states).sample
        return output

    def _loss(self, batch: Batch) -> Tensor:
        (loss,) = denoising_losses(self.base, Denoiser(self.base.unet), [batch])
        return loss


def _encode_scenes(base: Base, seed: int, indices: range) -> tuple[Tensor, PromptEmbeds]:
    """Return the latents, on the CPU, of scenes in inverted colours, and their captions encoded."""
    scenes = [render("scene", seed, index) for index in indices]
    pictures = np.stack([255 - scene.image for scene in scenes]).transpose(0, 3, 1, 2)
    means = encode_pictures(base, torch.from_numpy(np.ascontiguousarray(pictures)))[:, 0]
    return means, encode_prompts(base, [scene.captions[0] for scene in scenes])
