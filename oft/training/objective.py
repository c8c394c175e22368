"""What training minimises: the error of the predicted noise; all randomness follows from seed and step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from oft.models.device import attention_kernel
from oft.models.loss import prediction_loss, prediction_target
from oft.models.prompts import PromptEmbeds, added_cond_kwargs, encode_prompts_in_graph, join_embeds
from oft.seeding import derive_seed, generator_for
from oft.shards.order import BatchOrder, batches_in_order
from oft.shards.prefetch import Feed, num_workers_beside, prefetch
from oft.training.dataset import Loaded, TrainingSet
from oft.training.distributed import ALONE, Ranks, micro_batches

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from oft.adapters.protocol import Adapter
    from oft.models.base import Base
    from oft.settings.training import Optimization

# The losses of a step's micro-batches, each to go backward as it comes; their sum is the step's.
Objective = Callable[[int], Iterable[Float[Tensor, ""]]]


@dataclass(frozen=True)
class Batch:
    """One step's input; without embeddings the step encodes its prompts, by an encoder that learns."""

    latents: Float[Tensor, "batch channels rows columns"]
    noise: Float[Tensor, "batch channels rows columns"]
    timesteps: Int[Tensor, " batch"]
    prompt_embeds: PromptEmbeds | None
    conditioning: Float[Tensor, "batch 3 height width"] | None
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingSource:
    """Samples to train on; ``name`` sets their randomness apart, ``weight`` is that of their loss."""

    data: TrainingSet
    name: str
    weight: float = 1.0


class Denoiser(nn.Module):
    """A UNet with the conditioning images as an input, so that one forward holds all that is trained."""

    def __init__(
        self, unet: UNet2DConditionModel, adapter: Adapter | None = None, attention: str = "auto"
    ) -> None:
        """Take a UNet and the adapter on it; None is the base alone, which sees no conditioning image."""
        super().__init__()
        self.unet = unet
        self.adapter = adapter
        self.attention = attention

    def forward(
        self,
        noisy: Float[Tensor, "batch channels rows columns"],
        timesteps: Int[Tensor, " batch"],
        encoder_hidden_states: Float[Tensor, "batch tokens features"],
        conditioning: Float[Tensor, "batch 3 height width"] | None,
        added: Mapping[str, Tensor] | None = None,
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return the predicted noise, or velocity; ``added`` is what ``added_cond_kwargs`` returns."""
        with attention_kernel(noisy.device.type, self.attention):
            seen = nullcontext() if self.adapter is None else self.adapter.conditioned(conditioning)
            with seen:
                return self.unet(noisy, timesteps, encoder_hidden_states, added_cond_kwargs=added).sample


def draw_batch(
    base: Base,
    data: TrainingSet,
    loaded: Loaded,
    prompt_dropout: float,
    *seed: int | str,
    encode_text: bool = True,
    ranks: Ranks = ALONE,
) -> Batch:
    """Return samples loaded from ``data`` as a batch, without ``encode_text`` one without embeddings.

    Latents, noise, timesteps, the choice among captions and dropped prompts follow the seed. They are drawn
    for the samples of all ``ranks`` together, so that a sample gets the same ones whichever rank has it.
    """
    generator = generator_for(*seed)
    rng = np.random.default_rng(derive_seed(*seed, "captions"))
    means, deviations = loaded.posterior(base)
    num_captions = ranks.gather([len(captions) for captions in loaded.captions])
    whole = (len(num_captions), *means.shape[1:])
    latents = means + deviations * torch.randn(whole, generator=generator)[ranks.mine]
    choices = [None if rng.random() < prompt_dropout else rng.integers(num) for num in num_captions]
    prompts = [
        "" if choice is None else captions[choice]
        for captions, choice in zip(loaded.captions, choices[ranks.mine], strict=True)
    ]
    noise = torch.randn(whole, generator=generator)[ranks.mine]
    num_timesteps = base.noise_scheduler.config.num_train_timesteps
    timesteps = torch.randint(num_timesteps, whole[:1], generator=generator)[ranks.mine]
    device = base.unet.device
    conditioning = loaded.conditioning()
    return Batch(
        latents.to(device),
        noise.to(device),
        timesteps.to(device),
        data.encode_prompts(base, prompts) if encode_text else None,
        None if conditioning is None else conditioning.to(device),
        tuple(prompts),
    )


def offset_noise(batch: Batch, strength: float, *seed: int | str, ranks: Ranks = ALONE) -> Batch:
    """Return a batch whose noise has one more draw for each sample and channel, ``strength`` times.

    Without it a model hardly learns to move pictures' means (Guttenberg 2023, Diffusion with Offset Noise).
    """
    samples, channels = batch.noise.shape[:2]
    whole = (samples * ranks.num, channels, 1, 1)
    offset = torch.randn(whole, generator=generator_for(*seed, "offset"))[ranks.mine]
    return replace(batch, noise=batch.noise + strength * offset.to(batch.noise))


def split(batch: Batch, num_parts: int) -> Iterator[Batch]:
    """Yield a batch's samples in so many parts, equally long; the number must divide its length."""
    size = len(batch.latents) // num_parts
    for start in range(0, len(batch.latents), size):
        part = slice(start, start + size)
        yield Batch(
            batch.latents[part],
            batch.noise[part],
            batch.timesteps[part],
            None if batch.prompt_embeds is None else batch.prompt_embeds[part],
            None if batch.conditioning is None else batch.conditioning[part],
            batch.prompts[part],
        )


def join(batches: Sequence[Batch]) -> Batch:
    """Return batches of one task, all with conditioning and embeddings or none, as one."""
    conditioning = [batch.conditioning for batch in batches if batch.conditioning is not None]
    embeds = [batch.prompt_embeds for batch in batches if batch.prompt_embeds is not None]
    return Batch(
        torch.cat([batch.latents for batch in batches]),
        torch.cat([batch.noise for batch in batches]),
        torch.cat([batch.timesteps for batch in batches]),
        join_embeds(embeds) if embeds else None,
        torch.cat(conditioning) if conditioning else None,
        tuple(prompt for batch in batches for prompt in batch.prompts),
    )


def denoising_losses(
    base: Base, denoiser: nn.Module, batches: Sequence[Batch], snr_gamma: float = 0.0
) -> list[Float[Tensor, ""]]:
    """Return each batch's error; ``snr_gamma`` is ``prediction_loss``'s.

    Batches of one picture size take one forward pass together. A base that predicts velocity is held to the
    velocity (Salimans & Ho 2022).
    """
    if len({batch.latents.shape[1:] for batch in batches}) > 1:
        return [denoising_losses(base, denoiser, [batch], snr_gamma)[0] for batch in batches]
    scheduler = base.noise_scheduler
    batch = join(batches)
    noisy = scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
    embeds = batch.prompt_embeds
    if embeds is None:
        embeds = encode_prompts_in_graph(base, batch.prompts)
    added = added_cond_kwargs(base, embeds, noisy)
    predicted = denoiser(noisy, batch.timesteps, embeds.hidden_states, batch.conditioning, added)
    target = prediction_target(scheduler, batch.latents, batch.noise, batch.timesteps)
    sizes = [len(part.latents) for part in batches]
    parts = zip(predicted.split(sizes), target.split(sizes), batch.timesteps.split(sizes), strict=True)
    return [prediction_loss(scheduler, *part, snr_gamma) for part in parts]


def data_objective(
    base: Base,
    denoiser: nn.Module,
    sources: Sequence[TrainingSource],
    settings: Optimization,
    seed: int,
    ranks: Ranks = ALONE,
    *,
    text_is_trained: bool = False,
) -> Objective:
    """Return the losses of a step, of each of its micro-batches: weighted sums of the errors of each source.

    Text that was encoded before is of no use to a text encoder that is trained: each micro-batch is encoded.
    A second source of class pictures is prior preservation (Ruiz et al. 2023, eq. 2). Each of several
    ``ranks`` loads its own share of a batch, and the mean of their losses is that of the whole.
    """
    num_parts = micro_batches(settings.batch_size, settings.gradient_accumulation_steps, ranks.num)
    feeds = [
        Feed(
            source.data.load,
            BatchOrder(
                source.data.shards,
                settings.batch_size,
                derive_seed(seed, source.name),
                window=settings.shuffle_window_shards or None,
                rank=ranks.rank,
                num_ranks=ranks.num,
            ),
            num_workers_beside(base.unet.device.type, ranks.num_here),
        )
        for source in sources
    ]

    def compute_losses(step: int) -> Iterator[Float[Tensor, ""]]:
        batches = [
            draw_batch(
                base,
                source.data,
                feed(step),
                settings.prompt_dropout,
                seed,
                source.name,
                step,
                encode_text=not text_is_trained,
                ranks=ranks,
            )
            for source, feed in zip(sources, feeds, strict=True)
        ]
        if settings.offset_noise:
            batches = [
                offset_noise(batch, settings.offset_noise, seed, source.name, step, ranks=ranks)
                for source, batch in zip(sources, batches, strict=True)
            ]
        for parts in zip(*(split(batch, num_parts) for batch in batches), strict=True):
            losses = denoising_losses(base, denoiser, parts, settings.snr_gamma)
            weights = torch.tensor([source.weight for source in sources], device=losses[0].device)
            yield torch.stack(losses) @ weights / num_parts

    return compute_losses


@torch.no_grad()
def validation_loss(
    base: Base,
    denoiser: nn.Module,
    data: TrainingSet,
    batch_size: int,
    seed: int,
    rounds: int = 4,
    ranks: Ranks = ALONE,
    *,
    text_is_trained: bool = False,
) -> float:
    """Return the mean loss over all samples: fixed noise, ``rounds`` timesteps each, no prompt dropped.

    Several ``ranks`` share the batches out.
    """
    total = 0.0
    batches = batches_in_order(data.shards, batch_size) * rounds
    starts = accumulate(map(len, batches[:-1]), initial=0)
    workers = num_workers_beside(base.unet.device.type, ranks.num_here)
    loads = prefetch(data.load, batches[ranks.mine], workers)
    for first, loaded in zip(list(starts)[ranks.mine], loads, strict=True):
        turn, start = divmod(first, len(data))
        batch = draw_batch(
            base, data, loaded, 0.0, seed, "validation", turn, start, encode_text=not text_is_trained
        )
        (loss,) = denoising_losses(base, denoiser, [batch])
        total += float(loss) * len(loaded)
    return ranks.sum(total) / (rounds * len(data))
