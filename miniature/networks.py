"""The objective of each miniature network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miniature import architecture
from miniature.pool import VIEWS_PER_TOY, Pool
from miniature.training import to_tensor
from oft.models.device import attention_kernel
from oft.models.loss import prediction_loss, prediction_target

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

LossFunction = Callable[[np.ndarray, np.random.Generator, torch.Generator], Tensor]


@dataclass(frozen=True)
class Objective:
    """What `miniature.training.fit` needs of a network.

    Attributes:
        modules: its parts, trained together, by the folder that each is saved in ('' for its own).
        compute_loss: the loss of the examples with given indices.
        num_examples: how many examples there are.
    """

    modules: dict[str, nn.Module]
    compute_loss: LossFunction
    num_examples: int


PROMPT_DROPOUT = 0.1
# Small against the reconstruction terms (about .1): with 1e-2 ten of sixteen channels go unused, and
# colours blur.
KL_WEIGHT = 2e-4
# How far the variances of the latents' principal axes are evened out: 0 leaves them, 1 makes them equal. As
# they come, colours have a hundred times the variance of edges, and noise hides the edges at all but the last
# steps.
WHITENING = 0.5
TEMPERATURE = 0.1
ENCODE_BATCH = 64
SNR_GAMMA = 5.0


@contextmanager
def half_precision() -> Iterator[None]:
    """Products in bfloat16, weights in float32: a third less time where the processor has the type."""
    with torch.autocast("cpu", torch.bfloat16), attention_kernel("cpu"):
        yield


def vae_objective(pool: Pool) -> Objective:
    """Train an autoencoder on colours and edges and a little KL.

    Edges are the gradient difference loss of Mathieu et al. 2016 (arXiv 1511.05440), exponent 1.
    """
    vae = architecture.build_vae()

    def compute_loss(indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        images = to_tensor(pool.images[indices])
        if rng.random() < 0.5:
            images = images.flip(3)
        with half_precision():
            posterior = vae.encode(images).latent_dist
            latents = posterior.sample(generator)
            decoded = vae.decode(latents).sample
        difference = decoded.float() - images
        colours = difference.abs().mean() + 2 * difference.square().mean()
        edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        return colours + edges + KL_WEIGHT * posterior.kl().mean() / latents[0].numel()

    return Objective({"": vae}, compute_loss, len(pool))


@torch.no_grad()
def even_latents(vae: AutoencoderKL, images: np.ndarray) -> None:
    """Centre the latents and even out the variances of their principal axes by ``WHITENING``, in place.

    With mean m and covariance U diag(v) U^T over the latents of ``images``, z becomes A (z - m) for
    A = U diag(v^(-WHITENING / 2)) U^T, which the 1x1 convolutions behind the encoder and before the decoder
    take up: what is decoded stays the same. The posterior's deviation becomes one constant for each channel,
    and the scaling factor brings the whole to unit variance.
    """
    moments = encode_moments(vae, images)
    means, deviations = (part.permute(1, 0, 2, 3).flatten(1).double() for part in moments)
    centre = means.mean(1, keepdim=True)
    variances, axes = torch.linalg.eigh(torch.cov(means))
    powers = variances.clamp(min=1e-6 * float(variances.max())) ** (-WHITENING / 2)
    forward, inverse = axes * powers @ axes.T, axes / powers @ axes.T
    quant, post_quant = vae.quant_conv, vae.post_quant_conv
    channels = len(centre)
    mean_weight = quant.weight[:channels].flatten(1).double()
    post_weight = post_quant.weight.flatten(1).double()
    post_quant.bias += (post_weight @ centre).flatten().float()
    post_quant.weight.copy_((post_weight @ inverse).float()[..., None, None])
    spread = (forward.square() @ deviations.square().mean(1, keepdim=True)).flatten()
    quant.weight[:channels] = (forward @ mean_weight).float()[..., None, None]
    quant.bias[:channels] = (forward @ (quant.bias[:channels, None].double() - centre)).flatten().float()
    quant.weight[channels:] = 0
    quant.bias[channels:] = spread.log().float()
    scale = float((forward @ (means - centre)).std())
    vae.register_to_config(scaling_factor=round(1 / scale, 5))


@torch.no_grad()
def encode_moments(vae: AutoencoderKL, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the means and deviations of the latents of pictures, [n, 16, 8, 8] each, unscaled."""
    batches = (images[start : start + ENCODE_BATCH] for start in range(0, len(images), ENCODE_BATCH))
    with half_precision():
        posteriors = [vae.encode(to_tensor(batch)).latent_dist for batch in batches]
    means = torch.cat([posterior.mean.float() for posterior in posteriors])
    return means, torch.cat([posterior.std.float() for posterior in posteriors])


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Return token ids [n, 32], padded."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def denoiser_objective(
    pool: Pool,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    start: tuple[UNet2DConditionModel, CLIPTextModel] | None = None,
) -> Objective:
    """Train UNet and text encoder together to predict the velocity, captions only, some of them dropped.

    Min-SNR's weights keep steps with little noise, where there is texture alone to learn, from filling the
    loss. ``start`` is trained on.
    """
    unet, text_encoder = start or (architecture.build_unet(), architecture.build_text_encoder(tokenizer))
    scheduler = architecture.build_scheduler()
    latents = encode_moments(vae, pool.images)[0] * vae.config.scaling_factor

    def compute_loss(indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        clean = latents[torch.from_numpy(indices)]
        captions = [
            "" if rng.random() < PROMPT_DROPOUT else str(rng.choice(pool.captions[index]))
            for index in indices
        ]
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(clean),), generator=generator)
        noisy = scheduler.add_noise(clean, noise, timesteps)
        with half_precision():
            hidden_states = text_encoder(tokenize(tokenizer, captions))[0]
            predicted = unet(noisy, timesteps, hidden_states).sample
        target = prediction_target(scheduler, clean, noise, timesteps)
        return prediction_loss(scheduler, predicted, target, timesteps, SNR_GAMMA)

    return Objective({"unet": unet, "text_encoder": text_encoder}, compute_loss, len(pool))


def segmenter_objective(pool: Pool, labels: np.ndarray, num_labels: int, *, mirror: bool) -> Objective:
    """Train a SegFormer on label maps uint8 [n, 64, 64]; 255 is ignored.

    The pictures change a little in light and sharpness, so that the judge does not hang on details that a
    generated picture cannot have. ``mirror`` is for labels without a left and a right.
    """
    segmenter = architecture.build_segmenter(num_labels)

    def compute_loss(indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        images, truth = to_tensor(pool.images[indices]), torch.from_numpy(labels[indices]).long()
        if mirror and rng.random() < 0.5:
            images, truth = images.flip(3), truth.flip(2)
        images = augment(images, rng, generator)
        with half_precision():
            logits = segmenter(pixel_values=images).logits
        logits = F.interpolate(logits.float(), size=truth.shape[1:], mode="bilinear")
        return F.cross_entropy(logits, truth, ignore_index=255)

    return Objective({"": segmenter}, compute_loss, len(pool))


def augment(images: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Return pictures with a random gain, offset, blur and noise; all but the noise is one for the batch."""
    images = images * float(rng.uniform(0.85, 1.15)) + float(rng.uniform(-0.1, 0.1))
    if rng.random() < 0.4:
        images = F.interpolate(
            F.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True),
            size=images.shape[2:],
            mode="bilinear",
        )
    noise = torch.randn(images.shape, generator=generator) * float(rng.uniform(0, 0.08))
    return (images + noise).clamp(-1, 1)


def clip_objective(pool: Pool, toys: Pool, tokenizer: CLIPTokenizer) -> Objective:
    """Train the image-text judge on CLIP's symmetric contrastive loss (Radford et al. 2021) and image pairs.

    The second term is that of SLIP (Mu et al. 2022), its pairs two views of one toy: captions name a toy's
    class and place, so that without it two pictures of one subject would be alike only where the place is.
    """
    clip = architecture.build_clip(tokenizer)

    def compute_loss(indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        captions = [str(rng.choice(pool.captions[index])) for index in indices]
        pairs = [to_tensor(view) for view in toy_pairs(toys, len(indices) // 4, rng)]
        images = torch.cat([to_tensor(pool.images[indices]), *pairs])
        with half_precision():
            text = clip.get_text_features(tokenize(tokenizer, captions)).pooler_output
            image = clip.get_image_features(augment(images, rng, generator)).pooler_output
        text, image = F.normalize(text.float(), dim=1), F.normalize(image.float(), dim=1)
        logits = clip.logit_scale.exp() * image[: len(indices)] @ text.T
        # Equal captions describe each other's pictures too: they are no negatives.
        same = torch.tensor([[a == b for b in captions] for a in captions])
        targets = same.float() / same.sum(1, keepdim=True)
        contrast = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
        return contrast + nt_xent_loss(image[len(indices) :])

    return Objective({"": clip}, compute_loss, len(pool))


def extractor_objective(pool: Pool, toys: Pool) -> Objective:
    """Train the feature extractor without labels, by telling pictures apart (Wu et al. 2018; SimCLR's loss).

    Half of each batch are pairs of two views of one toy, half are two crops of one picture of the mixture, so
    features follow what an instance looks like, as DINO's do, and colours stay meaningful.
    """
    extractor = architecture.build_extractor()

    def compute_loss(indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        half = len(indices) // 2
        views = toy_pairs(toys, half, rng)
        pairs = [
            torch.cat([to_tensor(view), random_crops(to_tensor(pool.images[indices[half:]]), rng)])
            for view in views
        ]
        images = torch.cat([augment(side, rng, generator) for side in pairs])
        with half_precision():
            features = extractor(images).pooler_output.flatten(1)
        return nt_xent_loss(F.normalize(features.float(), dim=1))

    return Objective({"": extractor}, compute_loss, len(pool))


def toy_pairs(toys: Pool, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two different views each of ``count`` different toys, both uint8 [count, 64, 64, 3]."""
    chosen = rng.choice(len(toys) // VIEWS_PER_TOY, size=count, replace=False) * VIEWS_PER_TOY
    views = np.stack([rng.choice(VIEWS_PER_TOY, size=2, replace=False) for _ in range(count)])
    return toys.images[chosen + views[:, 0]], toys.images[chosen + views[:, 1]]


def random_crops(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a random crop of each picture (55 to 100 % of a side, sometimes mirrored), at the old size."""
    size = images.shape[-1]
    crops = []
    for image in images:
        side = int(rng.integers(round(0.55 * size), size + 1))
        top, left = (int(value) for value in rng.integers(0, size - side + 1, size=2))
        crop = image[:, top : top + side, left : left + side]
        crops.append(crop.flip(2) if rng.random() < 0.5 else crop)
    return torch.cat(
        [F.interpolate(crop[None], size=(size, size), mode="bilinear", antialias=True) for crop in crops]
    )


def nt_xent_loss(features: Tensor) -> Tensor:
    """Return the normalised temperature-scaled cross entropy of unit features [2n, d]; pairs: i, i + n."""
    count = len(features) // 2
    similarity = features @ features.T / TEMPERATURE
    similarity = similarity.masked_fill(torch.eye(2 * count, dtype=torch.bool), float("-inf"))
    partner = torch.arange(2 * count).roll(count)
    return F.cross_entropy(similarity, partner)
