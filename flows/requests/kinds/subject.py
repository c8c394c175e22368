"""A training of one subject from a few pictures of it, with prior preservation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.requests.checks import Asked, Check, keyed
from flows.requests.collecting import Collector
from flows.requests.datasets import write_pictures, write_subject
from flows.requests.faults import shorten
from flows.requests.kinds.common import DATASET, Address, CommonRequest, Prompt
from flows.requests.prompts import Subject, normalize, split_prompts, subject_file
from flows.requests.sources import Wanted
from oft.adapters.protocol import Method
from oft.additions import dataset_settings
from oft.errors import ParamsError
from oft.prepare.subjects import place_prompts

INSTANCE_IMAGES = Wanted("instance_images", 3, 100)
CLASS_IMAGES = Wanted("class_images", 1, 1000)
SUBJECT = "instance"


class SubjectRequest(CommonRequest):
    """A training of one subject from a few pictures. What is left out has the profile's value."""

    learns = "a subject"
    sources = ("instance_images", "class_images")
    section = "train_subject"
    task = f"subject_{DATASET}"

    kind: Literal["subject"] = Field(
        default="subject",
        description="What is learned: subject, one thing from a few pictures of it (what a request without "
        "kind asks for).",
    )
    instance_images: Address = Field(
        description="3 to 100 pictures of the subject: a zip or tar archive or a folder, as https:// or "
        "s3:// address or path below an allowed folder of the server."
    )
    instance_prompt: Prompt = Field(
        description="What the pictures show: class_prompt with one rare word before the class, "
        "'a photo of sks robot'."
    )
    class_prompt: Prompt = Field(description="What things of its class show: 'a photo of robot'.")
    class_images: Address | None = Field(
        default=None,
        description="1 to 1000 pictures of other things of the class for prior preservation, given as "
        "instance_images are; none: the base draws num_class_images.",
    )
    num_class_images: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Pictures of the class that the base draws for prior preservation, 1 to 1000.",
    )
    prior_loss_weight: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Weight of the loss on the class pictures, 0 (none) to 10."
    )
    gallery_prompts: Annotated[list[Prompt], Field(max_length=50)] = Field(
        default=[],
        description="Prompts of the gallery, at most 50, each with the subject's word; none: six of our own.",
    )

    @classmethod
    def can_learn(cls, method: Method) -> bool:
        """A subject has no conditioning image."""
        return not method.needs_condition

    @classmethod
    def checks(cls) -> Iterator[Check]:
        """Yield the rules of prompts and class pictures."""
        prompts = {"instance_prompt", "class_prompt"}
        yield prompts, keyed("instance_prompt", _check_prompts)
        yield prompts | {"gallery_prompts"}, keyed("gallery_prompts", _check_gallery)
        yield {"class_images", "num_class_images"}, keyed("num_class_images", _check_class_images)

    @property
    def subject(self) -> Subject:
        """The subject that the two prompts define."""
        return split_prompts(self.instance_prompt, self.class_prompt)

    @property
    def prompts(self) -> list[str]:
        """The prompts of the gallery, at least one."""
        return list(self.gallery_prompts) or place_prompts(self.instance_prompt)

    @property
    def title(self) -> str:
        """The instance prompt."""
        return self.instance_prompt

    @property
    def stages(self) -> list[str]:
        """The measurement, which training, magnitudes and pictures come before."""
        return ["evaluate_subject"]

    @property
    def shown(self) -> Path:
        """The pictures that are measured."""
        return self.run / "samples"

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """What it says of pictures for each prompt, and of prior preservation."""
        return {
            "sample": {"num_subject_samples": self.num_gallery_images},
            "prior": {"num_class_images": self.num_class_images},
            self.section: {"prior_loss_weight": self.prior_loss_weight},
        }

    def settings(self, dataset: str) -> dict[str, Any]:
        """Return the settings by which this subject is all that runs."""
        subject = self.subject
        return {
            "datasets": {DATASET: dataset_settings("dreambooth", dataset)},
            "subjects": {self.task: {"dataset": DATASET, "subject": SUBJECT}},
            "subject_tasks": [self.task],
            "subject_adapters": [self.adapter],
            "identifier": subject.identifier,
            "instance_prompt": subject.instance_prompt,
            "class_prompt": subject.class_prompt,
        }

    def place(self, settings: dict[str, Any], collector: Collector, root: Path) -> None:
        """Place the subject's pictures with its prompts, and those of its class."""
        prompts_file = subject_file(SUBJECT, self.subject.class_name, self.prompts)
        pictures = collector.images(self.instance_images, INSTANCE_IMAGES)
        folder = write_subject(SUBJECT, prompts_file, pictures, root)
        settings["datasets"][DATASET]["acquire"]["source"] = str(folder)
        if self.class_images is not None:
            folder = write_pictures(collector.images(self.class_images, CLASS_IMAGES), root)
            settings["subjects"][self.task]["class_pictures"] = str(folder)


def _check_prompts(asked: Asked) -> Asked:
    split_prompts(asked["instance_prompt"], asked["class_prompt"])
    return {}


def _check_gallery(asked: Asked) -> Asked:
    try:
        identifier = split_prompts(asked["instance_prompt"], asked["class_prompt"]).identifier
    except ParamsError:
        return {}  # said already
    for prompt in asked["gallery_prompts"]:
        if identifier not in normalize(prompt).split(" "):
            raise ParamsError(f"{shorten(prompt)!r} does not name the subject: add {identifier!r}")
    return {}


def _check_class_images(asked: Asked) -> Asked:
    if asked["class_images"] is not None and asked["num_class_images"] is not None:
        raise ParamsError(
            f"the base draws none beside class_images; it is {asked['num_class_images']}; leave one of "
            "the two out"
        )
    return {}
