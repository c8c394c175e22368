"""A training of a style from captioned pictures that have it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.requests.kinds.captioned import CaptionedRequest
from flows.requests.kinds.common import DATASET, Prompt
from oft.adapters.protocol import Method
from oft.settings.data import CAPTION_FIELD

DRAWING = "gallery"


class StyleRequest(CaptionedRequest):
    """A training of a style from captioned pictures. What is left out has the profile's value."""

    learns = "a style"
    sources = ("images", "validation_images")
    task = f"style_{DATASET}"

    kind: Literal["style"] = Field(
        description="What is learned: style, the manner of a set of captioned pictures."
    )
    gallery_prompts: Annotated[list[Prompt], Field(max_length=50)] = Field(
        default=[],
        description="Prompts of the gallery, at most 50, drawn as they are: name the style in them as "
        "caption_template does; none: captions of pictures held out, and as many of those trained on.",
    )

    @classmethod
    def can_learn(cls, method: Method) -> bool:
        """A style has no conditioning image."""
        return not method.needs_condition

    @property
    def title(self) -> str:
        """What its captions have in common."""
        return "Style" if self.caption_template == CAPTION_FIELD else f"Style: {self.caption_template}"

    @property
    def stages(self) -> list[str]:
        """The measurement, and the pictures of prompts of the request's own."""
        return ["evaluate_style", *(["draw"] if self.gallery_prompts else [])]

    @property
    def shown(self) -> Path:
        """The pictures of its own prompts, else those that are measured."""
        return self.run / (f"drawings/{DRAWING}" if self.gallery_prompts else "samples")

    def settings(self, dataset: str) -> dict[str, Any]:
        """Return the settings by which this style is all that runs."""
        drawing = {
            "task": self.task,
            "adapter": self.adapter,
            "prompts": list(self.gallery_prompts),
            "num_samples": self.num_gallery_images,
        }
        return super().settings(dataset) | {
            "styles": {self.task: {"dataset": DATASET}},
            "style_tasks": [self.task],
            "style_adapters": [self.adapter],
            "drawings": {DRAWING: drawing} if self.gallery_prompts else {},
        }
