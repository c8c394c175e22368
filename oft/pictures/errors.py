"""Why a picture cannot be used."""

from __future__ import annotations

from typing import Literal

from oft.errors import DataError

MAX_PIXELS = 200_000_000
"""A larger picture is refused from its header: small files can claim any size."""

PictureReason = Literal[
    "missing", "unreadable", "unsupported", "truncated", "too_small", "too_large", "wrong_mode", "wrong_form"
]

EXPLANATIONS: dict[str, str] = {
    "missing": "there is no such file; restore it or leave it out of the listing",
    "unreadable": "not a picture that can be decoded; replace the file",
    "unsupported": "a format that is not read here (HEIC is, with the package pillow-heif); save it as JPEG "
    "or PNG",
    "truncated": "the picture's data end early; copy or download the file again",
    "too_small": "the shorter side is below the smallest allowed; leave it out or lower the bound",
    "too_large": f"more than {MAX_PIXELS // 1_000_000} megapixels; make it smaller or leave it out",
    "wrong_mode": "values that are no picture's (0 to 1, 255 or 65535), or no map of ids in the expected "
    "channel; export it as a PNG, a map as one of palette or greyscale",
    "wrong_form": "not 68 lines of two numbers, x and y; write the landmarks anew",
}


class PictureError(DataError):
    """One picture cannot be used: ``reason`` is what data stages count, ``name`` the file."""

    def __init__(self, reason: PictureReason, name: str) -> None:
        super().__init__(f"{name}: {reason}: {EXPLANATIONS[reason]}")
        self.reason: PictureReason = reason
        self.name = name

    def __reduce__(self) -> tuple[type[PictureError], tuple[PictureReason, str]]:
        """Let the error cross from a worker process."""
        return PictureError, (self.reason, self.name)
