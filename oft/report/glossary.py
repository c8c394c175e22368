"""The page's words: what each adapter and condition means, for a reader who knows none of them.

Metrics bring their own (`oft.evaluation.registry`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oft.adapters.registry import BASE_ALONE, METHODS
from oft.conditions import Condition, registry
from oft.datasets.reader import RENDERED_SOURCES
from oft.evaluation.metric import MINIATURE_JUDGES, Group

if TYPE_CHECKING:
    from oft.params import Params

GROUP_TITLES: dict[Group, str] = {
    "score": "How good the pictures are",
    "adapter": "The adapter itself",
    "protocol": "How it was measured",
    "other": "Further values",
}

BASE_WORDS = ("Base alone", "the base model without any adapter: it sees the prompt and nothing else")


@dataclass(frozen=True)
class AdapterWords:
    """An adapter in words.

    Attributes:
        title: the head of its column.
        meaning: what it is.
        place: of its column and its colour, 0 for the base alone.
        is_hint_alone: whether it is a hint encoder and nothing else, what others with one are compared to.
    """

    title: str = ""
    meaning: str = ""
    place: int = 0
    is_hint_alone: bool = False


def adapter_words(params: Params) -> dict[str, AdapterWords]:
    """Return the words of every adapter by name: the base alone first, then as the params have them."""
    words = {BASE_ALONE: AdapterWords(*BASE_WORDS, place=0)}
    for place, (name, settings) in enumerate(params.adapters.items(), start=1):
        method = METHODS[settings.method]
        is_hint_alone = method.needs_condition and not method.changes_weights
        words[name] = AdapterWords(settings.title or name, method.meaning(settings), place, is_hint_alone)
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
    "style": ConditionWords(
        "Style",
        "Style",
        "The model is shown pictures in one manner, with captions that say what is in them. Then it must "
        "draw in that manner whatever the prompt asks for: what captions of training pictures say (seen "
        "prompts), and what captions that it was not trained on say (unseen prompts).",
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
    "Hint encoder alone": "the network that reads the condition, trained like the adapters with every layer "
    "of the base as it is: what control is worth without any change to the weights.",
    "Target through the autoencoder": "the same score on the real pictures after the base's autoencoder, "
    "through which every generated picture comes. It is the ceiling: nothing drawn with this base can be "
    "expected to score higher.",
    "Real pictures": "the same score on the real pictures themselves: what the judge can recognise at all. "
    "For a subject, how alike its own pictures are.",
    "Distance closed": "(adapter − base alone) / (ceiling − base alone). 0 % is no better than the base, 100 "
    "% all that the autoencoder can show; for a subject, as much like it as its real pictures.",
    "Interval": "where a figure may lie by the chance of which conditions were drawn (95 %), from 9,999 "
    "resamples of the conditions in which all columns keep their pairs. Chance in training, another seed, is "
    "not in it.",
    "Seen and unseen prompts": "of a style, captions of pictures that it was trained on, and of others. "
    "Likeness to the style is that to the pictures which it was not trained on, for both.",
    "Seed": "the number that the noise of a picture is drawn from. Pictures in one row start from the same "
    "noise.",
    "Magnitude fitting": "a last, short training that turns nothing any more and learns one scale for each "
    "neuron.",
    "Training loss": "the error of the model's noise prediction, noisy steps counting more than nearly clean "
    "ones (Min-SNR) and, for a subject, pictures of its class beside its own.",
    "Validation loss": "the same error, all steps counting alike, on pictures it was not trained on (a "
    "subject has none: there it is on its own pictures); lower is better.",
}

MINIATURE_WORLD_TERM = {
    "Miniature world": "pictures that this repository renders, in the layouts of published data sets, so "
    "that everything runs without a download. No picture of a published data set is among them.",
}
MINIATURE_JUDGES_TERM = {
    "Miniature judges": "the networks that look at the pictures, trained on the miniature world: figures by "
    "them compare the columns of this page, never a figure here with a published one.",
}


def terms(params: Params) -> dict[str, str]:
    """Return the terms that a run's page needs: those of the miniature world only where it is used."""
    used = dict(TERMS)
    if any(dataset.acquire.source in RENDERED_SOURCES for dataset in params.datasets.values()):
        used |= MINIATURE_WORLD_TERM
    if params.evaluate.judges == MINIATURE_JUDGES:
        used |= MINIATURE_JUDGES_TERM
    return used


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
    "wrong_mode": "values of no picture, or no map of ids",
    "outside_splits": "beside the folders of the splits",
    "test_split": "in a folder for testing",
    "size_mismatch": "picture and annotation differ in size",
    "label_out_of_range": "unknown id in the annotation",
}
