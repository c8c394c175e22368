"""The page's words: what each metric, adapter and condition means, for a reader who knows none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oft.conditions import Condition, registry

Direction = Literal["higher", "lower", "neither"]
Group = Literal["score", "adapter", "protocol", "other"]


@dataclass(frozen=True)
class Metric:
    """One key of ``metrics.json``, explained.

    Attributes:
        title: its name in the tables.
        meaning: what the number says.
        better: which direction is better.
        group: how well the pictures turned out, what the adapter is, or how it was measured.
    """

    title: str
    meaning: str
    better: Direction = "neither"
    group: Group = "score"


GROUP_TITLES: dict[Group, str] = {
    "score": "How good the pictures are",
    "adapter": "The adapter itself",
    "protocol": "How it was measured",
    "other": "Further values",
}

METRICS: dict[str, Metric] = {
    "miou": Metric(
        "Mean IoU",
        "A judge network labels every pixel of the generated pictures. For each class: where its labels and "
        "the given map agree, divided by where either has the class; then the mean over the classes. 1 is "
        "perfect.",
        "higher",
    ),
    "macc": Metric(
        "Mean class accuracy",
        "The share of each class's pixels that the judge finds again, averaged over the classes.",
        "higher",
    ),
    "aacc": Metric(
        "Pixel accuracy", "The share of all pixels that the judge gives the class asked for.", "higher"
    ),
    "canny_f1": Metric(
        "Edge F1",
        "Edges are found again in the generated picture, with the same detector and thresholds, and compared "
        "pixel by pixel with the edges given: 2TP / (2TP + FP + FN), averaged over the pictures. 1 is "
        "perfect.",
        "higher",
    ),
    "canny_iou": Metric(
        "Edge IoU", "The same edges compared as TP / (TP + FP + FN), averaged over the pictures.", "higher"
    ),
    "canny_empty": Metric(
        "Pictures without edges", "Pairs with no edge on either side; the means leave them out."
    ),
    "part_accuracy": Metric(
        "Body-part accuracy",
        "A judge network finds body parts in the generated picture; the share of the figure's pixels that it "
        "gives the very part asked for. 1 is perfect.",
        "higher",
    ),
    "part_miou": Metric(
        "Body-part mean IoU", "Overlap of found and given parts, averaged over the parts.", "higher"
    ),
    "foreground_iou": Metric(
        "Outline IoU", "Overlap of found and given figure, whatever the parts.", "higher"
    ),
    "fid": Metric(
        "Fréchet distance (FID)",
        "How far the generated pictures as a whole are from real ones, by a network's features: the distance "
        "of two Gaussians. 0 is identical. With fewer than 2,048 pictures it comes out too large; compare "
        "only equal N.",
        "lower",
    ),
    "kid": Metric(
        "Kernel distance (KID)",
        "The same question as FID, with an estimate that is fair for few pictures too. 0 is identical; "
        "chance can make it slightly negative.",
        "lower",
    ),
    "kid_std": Metric("Spread of KID", "Standard deviation of KID over random subsets of the pictures."),
    "clip_t": Metric(
        "Picture and prompt (CLIP-T)",
        "How well picture and prompt fit: cosine of the features that an image-text model gives them, −1 to "
        "1.",
        "higher",
    ),
    "clip_i": Metric(
        "Likeness to the subject (CLIP-I)",
        "Mean cosine between generated pictures and the subject's own, by an image-text model's features, −1 "
        "to 1.",
        "higher",
    ),
    "dino": Metric(
        "Likeness to the subject (DINO)",
        "Mean cosine between generated pictures and the subject's own, by features that tell individual "
        "things apart, −1 to 1.",
        "higher",
    ),
    "lpips_diversity": Metric(
        "Variety (LPIPS)",
        "Mean perceptual distance between pictures of one prompt: 0 means that they are all alike.",
        "higher",
    ),
    "trainable_parameters": Metric(
        "Trained parameters", "How many numbers training may change.", group="adapter"
    ),
    "rotation_parameters": Metric(
        "Parameters of the rotations", "How many of them say how layers are rotated.", group="adapter"
    ),
    "hint_encoder_parameters": Metric(
        "Parameters of the condition's encoder", "How many of them read the condition.", group="adapter"
    ),
    "val_loss_before": Metric(
        "Validation loss before magnitude fitting", "See the words below.", "lower", "adapter"
    ),
    "val_loss_after": Metric(
        "Validation loss after magnitude fitting", "See the words below.", "lower", "adapter"
    ),
    "num_val_images": Metric("Pictures the validation loss is over", "", group="protocol"),
    "adapter": Metric("Adapter", "", group="protocol"),
    "base": Metric("Base", "The checkpoint everything starts from.", group="protocol"),
    "num_prompts": Metric("Prompts", "", group="protocol"),
    "num_ceiling_images": Metric("Real pictures FID's ceiling is taken over", "", group="protocol"),
    "energy_change": Metric(
        "Change of hyperspherical energy",
        "The energy says how evenly the directions of a layer's weight vectors are spread. This is its "
        "relative change from the base: a pure rotation leaves it as it was, up to rounding.",
        "lower",
        "adapter",
    ),
    "orthogonality_error": Metric(
        "Orthogonality error",
        "Largest entry of RRᵀ − I over all learned rotations R: 0 for an exact rotation, up to rounding.",
        "lower",
        "adapter",
    ),
    "num_images": Metric("Generated pictures", "", group="protocol"),
    "num_real_images": Metric("Real pictures", "", group="protocol"),
    "resolution_px": Metric("Picture size, pixels", "", group="protocol"),
    "scheduler": Metric("Sampler", "The algorithm that removes the noise step by step.", group="protocol"),
    "num_inference_steps": Metric("Denoising steps", "", group="protocol"),
    "guidance_scale": Metric(
        "Guidance",
        "How strongly the prompt is pushed (classifier-free guidance); 1 is not at all.",
        group="protocol",
    ),
    "seed": Metric("Seed", "", group="protocol"),
    "judges": Metric("Judges", "The networks that look at the pictures.", group="protocol"),
    "kid_subsets": Metric("KID subsets", "Random subsets that KID is averaged over.", group="protocol"),
    "kid_subset_size": Metric("KID subset size", "Pictures in each of them.", group="protocol"),
}

CEILING = "_ceiling"
"""``<metric>_ceiling`` is the same metric on real pictures."""

MAIN_METRICS: dict[str, tuple[str, ...]] = {
    "segmentation": ("miou", "aacc"),
    "canny": ("canny_f1", "canny_iou"),
    "densepose": ("part_accuracy", "part_miou", "foreground_iou"),
    "subject": ("dino", "clip_i"),
}
"""By condition, the metric that says whether the task was learned, then what stands in for it."""

ADAPTERS: dict[str, str] = {
    "none": "Base alone",
    "oft": "OFT",
    "coft": "COFT",
    "lora": "LoRA",
    "controlnet": "ControlNet",
    "dreambooth": "DreamBooth",
}
"""Names of the columns, in their order."""

ADAPTER_MEANINGS: dict[str, str] = {
    "none": "the base model without any adapter: it sees the prompt and nothing else",
    "oft": "orthogonal finetuning: each adapted layer's input is rotated; a small encoder lets the condition "
    "in",
    "coft": "constrained orthogonal finetuning: rotations that must stay close to no rotation",
    "lora": "low-rank adaptation: a small matrix is added to each adapted layer",
    "controlnet": "a trained copy of half the network that steers the frozen base",
    "dreambooth": "finetuning of all weights on the subject's pictures",
}


@dataclass(frozen=True)
class ConditionWords:
    """A kind of condition in words.

    Attributes:
        title: of its tasks.
        column: the head of its column.
        explanation: what the model is given and what it must do.
    """

    title: str
    column: str
    explanation: str


CONDITIONS: dict[str, ConditionWords] = {
    **{
        name: ConditionWords(condition.title, "Condition", condition.explanation)
        for name, condition in registry.CONDITIONS.items()
    },
    "subject": ConditionWords(
        "Subject",
        "Subject",
        "The model is shown a few pictures of one particular thing and learns a rare word for it. Then it "
        "must draw that very thing wherever the prompt puts it.",
    ),
}

FALLBACK_CONDITION = ConditionWords(Condition.title, "Condition", Condition.explanation)

ANGLE_FORMS: dict[str, tuple[str, str]] = {
    "full": ("Full activation", "angle times magnitude, as the network was trained"),
    "angle": ("Angle alone", "cos(w, x)"),
    "magnitude": ("Magnitude alone", "|w| |x|"),
}
"""What the pictures of the experiment with angles are drawn from: name and meaning, in the columns' order."""

ANGLE_COLUMNS = ("Input", *(title for title, _ in ANGLE_FORMS.values()))
"""Heads of its columns."""

UNINFORMED = (
    "Mean training picture",
    "one average picture for every input: the score of knowing nothing of it",
)
"""What they are held against: ``mean_picture`` in the metrics."""

TERMS: dict[str, str] = {
    "Base": "the text-to-image model before any finetuning; its weights stay frozen.",
    "Adapter": "what finetuning adds to the base; without it the base is back.",
    "Condition": "a picture that says what goes where; the model gets it beside the prompt.",
    "Target": "the real picture that the condition was made from. The model never sees it.",
    "Base alone": "the base given the prompt and no condition: what a score comes to by luck.",
    "Ceiling": "the same score on the real pictures instead of generated ones: what the judge can recognise "
    "at all.",
    "Distance closed": "(adapter − base alone) / (ceiling − base alone). 0 % is no better than the base, 100 "
    "% as good as real pictures.",
    "Seed": "the number that the noise of a picture is drawn from. Pictures in one row start from the same "
    "noise.",
    "Magnitude fitting": "a last, short training that turns nothing any more and learns one scale for each "
    "neuron.",
    "Training loss": "the error of the model's noise prediction, noisy steps counting more than nearly clean "
    "ones (Min-SNR) and, for a subject, pictures of its class beside its own.",
    "Validation loss": "the same error, all steps counting alike, on pictures it was not trained on (a "
    "subject has none: there it is on its own pictures); lower is better.",
    "Reconstruction": "the same score on the real pictures after the base's autoencoder, through which "
    "every generated picture comes: nothing drawn with this base can be expected to score higher.",
    "Ceiling of FID and KID": "the distance between two sets of real pictures that share no condition; "
    "pictures drawn for the very conditions can come closer than that.",
}

STAGES: dict[str, str] = {
    "acquire": "Pictures found",
    "extract": "Conditions made",
    "caption": "Captions",
    "shard": "Packed into shards",
}

REASONS: dict[str, str] = {
    "missing": "file missing",
    "caption_missing": "no caption",
    "unreadable": "not a readable picture",
    "truncated": "file ends early",
    "too_small": "picture too small",
    "too_large": "picture too large",
    "wrong_mode": "not a map of ids",
    "size_mismatch": "picture and annotation differ in size",
    "label_out_of_range": "unknown id in the annotation",
}


def adapter_title(adapter: str) -> str:
    """Return the name of an adapter's column."""
    return ADAPTERS.get(adapter, adapter)


def adapter_order(adapter: str) -> tuple[int, str]:
    """Return the sorting key of an adapter: the base alone first, unknown ones last."""
    return (list(ADAPTERS).index(adapter) if adapter in ADAPTERS else len(ADAPTERS), adapter)


def describe_metric(key: str) -> Metric | None:
    """Return what is known of a metric's key, None for an unknown one."""
    return METRICS.get(key)
