"""Distances between the feature distributions of real and generated pictures.

The formulas are those of FID and KID. Both names mean the features of one published Inception network, which
is no judge here, so no figure has them, whichever extractor made its features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oft.errors import DataError
from oft.evaluation.checks import check_features, check_same_width
from oft.evaluation.measure import Measurements, Pictures
from oft.evaluation.metric import RECONSTRUCTION, Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

    from oft.evaluation.task import EvaluatedTask
    from oft.settings.evaluation import Evaluation

# The fewest pictures a distribution is taken over; below it distances are left out.
MIN_IMAGES = 32

TRAIN_VAL = "_train_val"
"""``<metric>_train_val`` is the same between training and validation pictures, both real."""


def compute_frechet_distance(real: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m d"]) -> float:
    """Return the Fréchet distance of two Gaussians fitted to the features (Heusel et al. 2017, eq. 6), >= 0.

    |mu_r - mu_g|^2 + Tr(S_r + S_g - 2 (S_r S_g)^(1/2)) in float64. With S = R^T R, where R comes from the QR
    decomposition of the centred features, Tr (S_r S_g)^(1/2) is the nuclear norm of R_r R_g^T: no root of a
    nearly singular matrix is taken, so sets smaller than D are exact as well. Below about
    2,048 pictures a side the figure is biased upwards by much: read the kernel distance beside it.

    Raises:
        DataError: fewer than 2 rows on a side, widths differ, or a value is not finite.
    """
    real, generated = _check_pair(real, generated)
    real_root, generated_root = _covariance_root(real), _covariance_root(generated)
    shift = real.mean(axis=0) - generated.mean(axis=0)
    overlap = np.linalg.svd(real_root @ generated_root.T, compute_uv=False).sum()
    distance = shift @ shift + (real_root**2).sum() + (generated_root**2).sum() - 2 * overlap
    return max(float(distance), 0.0)


def compute_mmd(real: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m d"]) -> float:
    """Return the unbiased squared MMD with the kernel (x.y / D + 1)^3; it may be slightly negative.

    Bińkowski et al. 2018, eq. 4; Gretton et al. 2012, lemma 6.

    Raises:
        DataError: fewer than 2 rows on a side, widths differ, or a value is not finite.
    """
    real, generated = _check_pair(real, generated)
    within = _mean_off_diagonal(_kernel(real, real)) + _mean_off_diagonal(_kernel(generated, generated))
    return within - 2 * float(_kernel(real, generated).mean())


def compute_kernel_distance(
    real: Float[np.ndarray, "n d"],
    generated: Float[np.ndarray, "m d"],
    *,
    subsets: int,
    subset_size: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return ``kernel_distance`` and ``kernel_distance_std``: mean and spread of `compute_mmd` over subsets.

    ``subsets`` pairs of subsets are drawn without replacement, as for KID (Bińkowski et al. 2018): unbiased
    whatever the number of pictures. Published figures are often times 1,000: these are not.

    Raises:
        DataError: ``subset_size`` is below 2 or above the smaller set, ``subsets`` is below 1, widths differ,
            or a value is not finite.
    """
    real, generated = _check_pair(real, generated)
    smaller = min(len(real), len(generated))
    if subsets < 1 or not 2 <= subset_size <= smaller:
        raise DataError(
            f"the kernel distance needs subsets >= 1 and subset_size in 2..{smaller} (there are {len(real)} "
            f"real and {len(generated)} generated pictures), not {subsets} and {subset_size}; "
            "set a smaller subset_size or sample more pictures"
        )
    values = [
        compute_mmd(
            real[rng.choice(len(real), subset_size, replace=False)],
            generated[rng.choice(len(generated), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return {"kernel_distance": float(np.mean(values)), "kernel_distance_std": float(np.std(values))}


def _check_pair(
    real: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "m d"]
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    """Both sets as float64, at least two rows each, of one width."""
    real = check_features("real", real, at_least=2)
    generated = check_features("generated", generated, at_least=2)
    check_same_width("real", real, "generated", generated)
    return real, generated


def _covariance_root(features: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "k d"]:
    """R with R^T R = the unbiased covariance, k = min(N, D)."""
    return np.linalg.qr(features - features.mean(axis=0), mode="r") / np.sqrt(len(features) - 1)


def _kernel(a: Float64[np.ndarray, "n d"], b: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    """The polynomial kernel of KID."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_off_diagonal(gram: Float64[np.ndarray, "n n"]) -> float:
    """Mean over ordered pairs of different rows."""
    return float((gram.sum() - np.trace(gram)) / (len(gram) * (len(gram) - 1)))


def measure_distribution(
    generated: Pictures,
    real: Pictures,
    reconstructed: Pictures,
    other_real: Pictures,
    extract: Callable[[Pictures], NDArray[np.float32]],
    settings: Evaluation,
    rng: np.random.Generator,
    measured: Measurements,
) -> None:
    """Add the distances of generated pictures to the real ones, with two references.

    These are the real pictures through the autoencoder, and as many real pictures of the training split:
    under `TRAIN_VAL` stands how far real pictures of other conditions are at this n. It is no ceiling:
    pictures drawn for the very conditions can come closer than that.
    """
    truth = extract(real)
    compared = {"": generated, RECONSTRUCTION: reconstructed, TRAIN_VAL: other_real}
    subset_size = min(settings.kernel_distance_subset_size, len(real), *map(len, compared.values()))
    for suffix, pictures in compared.items():
        features = extract(pictures)
        measured.add({"frechet_distance": compute_frechet_distance(truth, features)}, suffix)
        measured.add(
            compute_kernel_distance(
                truth, features, subsets=settings.kernel_distance_subsets, subset_size=subset_size, rng=rng
            ),
            suffix,
        )
    measured.metrics["num_train_val_images"] = len(other_real)


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    others = task.other_real
    generated, real = task.generated.pictures[task.drawn_unseen], task.real[task.unseen]
    if others is None or min(len(real), len(others), len(generated)) < MIN_IMAGES:
        return
    measure_distribution(
        generated,
        real,
        task.reconstructed[task.unseen],
        others,
        task.judges.features,
        task.settings,
        np.random.default_rng(task.seed),
        measured,
    )


_OF_REAL_PICTURES = (
    "Training pictures against validation pictures, both real: what other conditions alone do at this number "
    "of pictures. A reference, no ceiling."
)

FAMILY = MetricFamily(
    metrics=(
        Metric(
            "frechet_distance",
            "Fréchet distance",
            "How far the generated pictures as a whole are from real ones, by a network's features: the "
            "distance of two Gaussians, as FID has it of Inception's features. 0 is identical. With fewer "
            "than 2,048 pictures it comes out too large; compare only equal N.",
            direction="lower",
            unit="squared distance",
            judge="extractor",
        ),
        Metric(
            f"frechet_distance{TRAIN_VAL}",
            "Fréchet distance, training against validation pictures",
            _OF_REAL_PICTURES,
            unit="squared distance",
            judge="extractor",
        ),
        Metric(
            "kernel_distance",
            "Kernel distance",
            "The same question with an estimate that is fair for few pictures too, KID's of Inception's "
            "features. 0 is identical; chance can make it slightly negative.",
            direction="lower",
            unit="squared distance",
            judge="extractor",
        ),
        Metric(
            "kernel_distance_std",
            "Spread of the kernel distance",
            "Its standard deviation over random subsets of the pictures.",
            unit="squared distance",
            judge="extractor",
        ),
        Metric(
            f"kernel_distance{TRAIN_VAL}",
            "Kernel distance, training against validation pictures",
            _OF_REAL_PICTURES,
            unit="squared distance",
            judge="extractor",
        ),
        Metric(
            f"kernel_distance_std{TRAIN_VAL}",
            "Spread of that kernel distance",
            "Its standard deviation over random subsets of the pictures.",
            unit="squared distance",
            judge="extractor",
        ),
    ),
    measure=_measure,
    tasks=("control", "style"),
)
