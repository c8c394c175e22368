"""What a task is measured on: its real and generated pictures, its prompts, and the judges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from oft.errors import DataError
from oft.evaluation.judges import Judges
from oft.evaluation.measure import Compared, Generated, Pictures, compared_pictures
from oft.evaluation.metric import kind_of
from oft.pictures import decode_square
from oft.shards.samples import read_samples
from oft.shards.shards import (
    Sample,
    decode_condition,
    decode_labels,
    num_samples,
    picture_size,
    read_shards,
)
from oft.storage import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from oft.conditions.registry import Conditions
    from oft.models.base import Base
    from oft.settings.evaluation import Evaluation


@dataclass(frozen=True)
class TaskFiles:
    """Where a task's pictures lie.

    Attributes:
        shards: folder of the task's shards.
        samples: folder of the sample tars, ``num_sample_shards`` of them.
    """

    shards: Path
    samples: Path
    num_sample_shards: int


@dataclass(frozen=True, eq=False)
class EvaluatedTask:
    """What the metrics of a task are taken on; what only some of them need is made when first asked for.

    Attributes:
        condition: its name; `SUBJECT` or `STYLE` for a task that learns one.
        generated: what the adapter drew.
        prompts: the prompt of each generated picture as a judge reads it.
        real_samples: what was asked for; of a subject, its own pictures.
        unseen: which of them were not trained on, bool [n]: those of the validation split.
        real_prompts: a caption of each real picture; None for a subject.
        counts: how many pictures (and prompts) the metrics are over.
        conditions: the settings of all conditions.
        seed: the run's.
    """

    condition: str
    generated: Generated
    prompts: list[str]
    real_samples: list[Sample]
    unseen: NDArray[np.bool_]
    real_prompts: list[str] | None
    counts: dict[str, int]
    files: TaskFiles
    base: Base
    judges: Judges
    settings: Evaluation
    conditions: Conditions
    seed: int

    @property
    def side_px(self) -> int:
        """Side of the generated pictures."""
        return self.generated.pictures.shape[1]

    @property
    def drawn_unseen(self) -> NDArray[np.bool_]:
        """Which of the generated pictures are drawn for a picture that was not trained on, bool [m]."""
        drawn: NDArray[np.bool_] = self.unseen[self.generated.sources]
        return drawn

    @cached_property
    def real(self) -> Pictures:
        """The real pictures at the size of the generated ones, uint8 [n, side, side, 3]."""
        return stack(self.real_samples, self.side_px)

    @cached_property
    def labels(self) -> Pictures:
        """The id map of each real picture, uint8 [n, h, w]."""
        return stack_labels(self.real_samples)

    @cached_property
    def landmarks(self) -> NDArray[np.float64]:
        """The real pictures' landmarks at the size of the generated ones, [n, 68, 2], x and y in pixels."""
        return stack_landmarks(self.real_samples, self.side_px)

    @cached_property
    def conditioning_images(self) -> Pictures:
        """The conditioning image of each real picture, uint8 [n, h, w, 3]."""
        return stack_conditions(self.real_samples)

    @cached_property
    def reconstructed(self) -> Pictures:
        """The real pictures after the base's autoencoder, uint8 [n, side, side, 3]."""
        return reconstruct(self.base, self.real, self.settings.batch_size)

    @cached_property
    def compared(self) -> Compared:
        """The generated pictures, the real ones, and those after the base's autoencoder."""
        return compared_pictures(self.generated, self.real, self.reconstructed)

    @cached_property
    def other_real(self) -> Pictures | None:
        """As many real pictures of the training split as of the other; None where it has none."""
        if not num_samples(self.files.shards, "train"):
            return None
        most = int(self.unseen.sum())
        return stack(list(islice(read_shards(self.files.shards, "train"), most)), self.side_px)


def read_task(
    condition: str,
    files: TaskFiles,
    base: Base,
    judges: Path,
    settings: Evaluation,
    conditions: Conditions,
    seed: int,
) -> EvaluatedTask:
    """Return a task with its pictures; the real ones are the ``val`` split.

    Of a subject they are its own pictures; of a style those whose captions are drawn, of both splits. Judges
    read a subject's prompts without the identifier, a token that means nothing to them.

    Args:
        condition: its name, `SUBJECT` or `STYLE`.
        judges: folder of the networks that look at the pictures.

    Raises:
        DataError: the pictures are not those of the task's samples or prompts.
    """
    kind = kind_of(condition)
    is_subject = kind == "subject"
    described: dict[str, Any] = {} if kind == "control" else read_json(files.shards / "prompts.json")
    held_out = [] if is_subject else list(read_shards(files.shards, "val"))
    trained: list[Sample] = []
    if kind != "control":
        wanted = read_shards(files.shards, "train")
        trained = [sample for sample in wanted if is_subject or sample.key in described["prompts"]]
    real_samples = [*trained, *held_out]
    keys = sorted(described["prompts"]) if is_subject else [sample.key for sample in real_samples]
    generated = read_generated(files.samples, files.num_sample_shards, keys)
    counts = {"num_images": len(generated.pictures), "num_real_images": len(real_samples)}
    prompts = generated.prompts
    if is_subject:
        counts["num_prompts"] = len(keys)
        prompts = [prompt.replace(f"{described['identifier']} ", "") for prompt in prompts]
    return EvaluatedTask(
        condition=condition,
        generated=generated,
        prompts=prompts,
        real_samples=real_samples,
        unseen=np.arange(len(real_samples)) >= len(trained),
        real_prompts=None if is_subject else [sample.meta["captions"][0] for sample in real_samples],
        counts=counts,
        files=files,
        base=base,
        judges=Judges(judges, base.vae.device, settings.batch_size),
        settings=settings,
        conditions=conditions,
        seed=seed,
    )


def stack(samples: list[Sample], side_px: int) -> Pictures:
    """Return the samples' pictures, uint8 [n, side, side, 3]; of those in buckets the centre squares."""
    return np.stack([decode_square(sample.image, side_px) for sample in samples])


def stack_labels(samples: list[Sample]) -> Pictures:
    """Return the samples' id maps, uint8 [n, h, w].

    Raises:
        DataError: one has none.
    """
    maps = [decode_labels(sample) for sample in samples]
    if missing := [sample.key for sample, labels in zip(samples, maps, strict=True) if labels is None]:
        raise DataError(f"sample {missing[0]} has no id map to measure against; make the shards again")
    return np.stack([labels.astype(np.uint8) for labels in maps if labels is not None])


def stack_landmarks(samples: list[Sample], side_px: int) -> NDArray[np.float64]:
    """Return the samples' landmarks, [n, 68, 2], in pixels of a square picture of that side.

    Raises:
        DataError: one has none.
    """
    if missing := [sample.key for sample in samples if "landmarks" not in sample.meta]:
        raise DataError(f"sample {missing[0]} has no landmarks to measure against; make the shards again")
    points = np.array([sample.meta["landmarks"] for sample in samples], dtype=np.float64)
    # Centres of pixels lie at whole numbers.
    scales = np.array([side_px / picture_size(sample)[0] for sample in samples])[:, None, None]
    return np.asarray((points + 0.5) * scales - 0.5)


def stack_conditions(samples: list[Sample]) -> Pictures:
    """Return the samples' conditioning images, uint8 [n, h, w, 3].

    Raises:
        DataError: one has none.
    """
    found = [decode_condition(sample) for sample in samples]
    if missing := [sample.key for sample, image in zip(samples, found, strict=True) if image is None]:
        raise DataError(f"sample {missing[0]} has no conditioning image; make the shards again")
    return np.stack([image for image in found if image is not None])


def read_generated(samples: Path, num_shards: int, keys: list[str]) -> Generated:
    """Return the generated pictures of a task, each with the place of its source among ``keys``.

    Raises:
        DataError: a key has no picture, or a picture has a key that was not asked for.
    """
    rows = list(read_samples(samples, num_shards))
    place = {key: index for index, key in enumerate(keys)}
    found = {request.key for request, _ in rows}
    if found != set(keys):
        odd = sorted(found ^ set(keys))[0]
        raise DataError(
            f"{samples}: {odd} is only among the samples or only among the shards; run `dvc repro` again"
        )
    return Generated(
        np.stack([picture for _, picture in rows]),
        np.array([place[request.key] for request, _ in rows]),
        [request.prompt for request, _ in rows],
        [(request.key, request.index) for request, _ in rows],
    )


@torch.inference_mode()
def reconstruct(base: Base, pictures: Pictures, batch_size: int) -> Pictures:
    """Return pictures after the base's autoencoder: as near to them as it can draw."""
    decoded = []
    for start in range(0, len(pictures), batch_size):
        batch = torch.from_numpy(pictures[start : start + batch_size]).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = base.vae.encode(batch.to(base.vae.device)).latent_dist.mean
        images = (base.vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5
        decoded.append(images.permute(0, 2, 3, 1).round().to(torch.uint8).cpu().numpy())
    return np.concatenate(decoded)
