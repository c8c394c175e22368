"""The objectives of the judges that see shapes: landmarks of faces, and depth."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from miniature import architecture
from miniature.networks import Objective, augment, half_precision
from miniature.pool import Pool
from miniature.training import to_tensor
from oft.conditions.landmarks import MIRRORED_LANDMARKS
from oft.evaluation.landmarks import locate_points

# An error of one pixel at 64 px weighs as much as a face that is seen with a probability of 73 %.
POINT_WEIGHT = 20.0


def landmark_objective(pool: Pool) -> Objective:
    """Train the judge of landmarks on where points are, and on whether there is a face at all.

    Pictures without landmarks (NaN) show it what is no face: mix other kinds in. A point's loss is the
    distance along x and y of the mean of its map's softmax (Sun et al. 2018).
    """
    judge = architecture.build_landmark_judge()

    def compute_loss(indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        images, points = to_tensor(pool.images[indices]), torch.from_numpy(pool.landmarks[indices])
        # Centres of pixels lie at whole numbers.
        truth = (points + 0.5) / images.shape[-1]
        if rng.random() < 0.5:
            images = images.flip(3)
            truth = mirror_points(truth)
        has_face = truth.isfinite().all(dim=2).all(dim=1)
        with half_precision():
            logits = judge(pixel_values=augment(images, rng, generator)).logits
        logits = logits.float()
        confidence = logits[:, -1].mean(dim=(1, 2))
        loss = F.binary_cross_entropy_with_logits(confidence, has_face.float())
        if has_face.any():
            found = locate_points(logits[has_face, :-1])
            loss = loss + POINT_WEIGHT * (found - truth[has_face]).abs().mean()
        return loss

    return Objective({"": judge}, compute_loss, len(pool))


def mirror_points(points: Float[Tensor, "n 68 2"]) -> Float[Tensor, "n 68 2"]:
    """Return landmarks, as shares of width and height, as they lie on the mirror images."""
    flipped = torch.stack([1 - points[..., 0], points[..., 1]], dim=2)
    return flipped[:, torch.from_numpy(MIRRORED_LANDMARKS.copy())]


def depth_objective(pool: Pool) -> Objective:
    """Train the judge of depth on absolute differences and, for its edges, on differences of gradients.

    Every picture of the pool needs its depth; leave kinds out whose renderer does not know it.
    """
    if np.isnan(pool.depth).any():
        raise ValueError("a picture of the pool has no depth; take kinds that have it (scene, object, toy)")
    judge = architecture.build_depth_judge()

    def compute_loss(indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        images = to_tensor(pool.images[indices])
        truth = torch.from_numpy(pool.depth[indices].astype(np.float32))
        if rng.random() < 0.5:
            images, truth = images.flip(3), truth.flip(2)
        with half_precision():
            predicted = judge(pixel_values=augment(images, rng, generator)).logits
        predicted = F.interpolate(predicted.float(), size=truth.shape[1:], mode="bilinear")[:, 0]
        difference = predicted - truth
        edges = difference.diff(dim=1).abs().mean() + difference.diff(dim=2).abs().mean()
        return difference.abs().mean() + edges

    return Objective({"": judge}, compute_loss, len(pool))
