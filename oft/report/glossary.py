"""The page's words: what each adapter and condition means, for a reader who knows none of them.

Metrics bring their own (`oft.evaluation.registry`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oft.adapters.registry import BASE_ALONE, METHODS
from oft.conditions import Condition, registry
from oft.evaluation.metric import Group

if TYPE_CHECKING:
    from oft.params import Params

GROUP_TITLES: dict[Group, str] = {
    "score": "How good the pictures are",
    "adapter": "The adapter itself",
    "protocol": "How it was measured",
    "other": "Further values",
}

CEILING = "_ceiling"
"""``<metric>_ceiling`` is the same metric on real pictures."""

BASE_WORDS = ("Base alone", "the base model without any adapter: it sees the prompt and nothing else")


@dataclass(frozen=True)
class AdapterWords:
    """An adapter in words.

    Attributes:
        title: the head of its column.
        meaning: what it is.
        place: of its column and its colour, 0 for the base alone.
    """

    title: str = ""
    meaning: str = ""
    place: int = 0


def adapter_words(params: Params) -> dict[str, AdapterWords]:
    """Return the words of every adapter by name: the base alone first, then as the params have them."""
    words = {BASE_ALONE: AdapterWords(*BASE_WORDS, place=0)}
    for place, (name, settings) in enumerate(params.adapters.items(), start=1):
        meaning = METHODS[settings.method].meaning(settings)
        words[name] = AdapterWords(settings.title or name, meaning, place)
    return words


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

MEAN_PICTURE_BASELINE = (
    "Mean training picture",
    "one average picture for every input: the score of knowing nothing of it",
)
"""Their baseline: ``mean_picture`` in the metrics."""

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
