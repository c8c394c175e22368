"""A training of control: pictures that follow a conditioning image, computed from them or given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from flows.requests.captioned import all_in
from flows.requests.collecting import Collector
from flows.requests.datasets import write_captioned
from flows.requests.faults import shown
from flows.requests.kinds.captioned import HOW, CaptionedRequest
from flows.requests.kinds.common import DATASET, Address
from flows.requests.sources import Wanted
from oft.adapters.protocol import Method
from oft.additions import dataset_settings
from oft.conditions.given import CONDITION as GIVEN
from oft.conditions.registry import CONDITIONS
from oft.datasets.hub import READER as HUB

MAX_GALLERY_CONDITIONS = 25
GALLERY_CONDITIONS = Wanted("gallery_conditions", 1, MAX_GALLERY_CONDITIONS, captioned=True)
GALLERY = "gallery"
GALLERY_TASK = f"control_{GALLERY}"


def possible_conditions() -> list[str]:
    """Return the conditions of a set of pictures, with conditioning pictures or without, sorted."""
    return sorted(
        name
        for name, condition in CONDITIONS.items()
        if not condition.needs_annotation() or HUB.gives(condition.annotation)
    )


def check_condition(name: str) -> str:
    """Return the name of a condition.

    Raises:
        ValueError: there is none of that name, or it is made from maps that no request brings.
    """
    if name in possible_conditions():
        return name
    possible = ", ".join(possible_conditions())
    if name in CONDITIONS:
        raise ValueError(f"{name} is made from maps, which no request brings; choose one of {possible}")
    raise ValueError(f"must be one of {possible}; it is {shown(name)}")


class ControlRequest(CaptionedRequest):
    """A training of control by a condition. What is left out has the profile's value."""

    learns = "a condition"
    sources = ("images", "validation_images", "gallery_conditions")
    task = f"control_{DATASET}"

    kind: Literal["control"] = Field(
        description="What is learned: control, to follow a conditioning image such as edges."
    )
    condition: Annotated[str, AfterValidator(check_condition)] = Field(
        description="The conditioning image of each picture, computed from it as docs/conditions.md says, or "
        "given: the file of the picture's size that conditioning_image names in its line of metadata.jsonl. "
        f"One of {', '.join(possible_conditions())}.",
    )
    gallery_conditions: Address | None = Field(
        default=None,
        description=f"1 to {MAX_GALLERY_CONDITIONS} conditioning images of your own that the gallery is "
        f"drawn for, each with its prompt as caption: {HOW}; none: those of the pictures held out.",
    )

    @classmethod
    def can_learn(cls, method: Method) -> bool:
        """Every adapter takes a conditioning image."""
        return True

    @property
    def title(self) -> str:
        """What the report calls tasks with its condition."""
        return CONDITIONS[self.condition].title

    @property
    def stages(self) -> list[str]:
        """The measurement, and the pictures for conditions of the request's own."""
        return ["evaluate", *(["sample_transfer"] if self.gallery_conditions else [])]

    @property
    def shown(self) -> Path:
        """The pictures for its own conditions, else those that are measured."""
        return Path("runs") / self._shown_task / self.adapter / "samples"

    @property
    def shown_conditions(self) -> Path:
        """The shards of what the gallery shows."""
        return Path("data/shards") / self._shown_task

    @property
    def _shown_task(self) -> str:
        return GALLERY_TASK if self.gallery_conditions else self.task

    def wanted(self, wanted: Wanted) -> Wanted:
        """Return what is wanted of a source: with a condition that is given, each picture's."""
        return wanted._replace(conditioned=self.condition == GIVEN.name)

    def settings(self, dataset: str) -> dict[str, Any]:
        """Return the settings by which this task is all that runs."""
        settings = super().settings(dataset) | {
            "tasks": {self.task: {"dataset": DATASET, "condition": self.condition}},
            "control_tasks": [self.task],
            "control_adapters": [self.adapter],
        }
        if self.gallery_conditions:
            settings["datasets"][GALLERY] = dataset_settings(HUB.name, dataset)
            settings["tasks"][GALLERY_TASK] = {"dataset": GALLERY, "condition": GIVEN.name}
            transfer = {"task": GALLERY_TASK, "adapter": self.adapter, "trained_on": self.task}
            settings["transfers"] = {f"{GALLERY_TASK}-{self.adapter}": transfer}
        return settings

    def place(self, settings: dict[str, Any], collector: Collector, root: Path) -> None:
        """Place the pictures, and the conditions of the gallery."""
        super().place(settings, collector, root)
        if self.gallery_conditions is not None:
            found = collector.captioned(self.gallery_conditions, GALLERY_CONDITIONS)
            # Nothing is measured on them: what would be compared with is the condition itself.
            pictures = [picture._replace(condition=picture.image) for picture in all_in("val", found)]
            settings["datasets"][GALLERY]["acquire"]["source"] = str(write_captioned(pictures, root))
