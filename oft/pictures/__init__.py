"""Pictures and id maps: decoded safely, cropped and resized alike, encoded to the same bytes every time."""

from oft.pictures.coding import (
    data_uri,
    decode_array,
    decode_rgb,
    decode_square,
    encode_jpeg,
    encode_png,
)
from oft.pictures.errors import EXPLANATIONS, PictureError
from oft.pictures.geometry import (
    RESAMPLING,
    Position,
    Size,
    crop_box,
    pad_margins,
    pad_to_square,
    prepare,
    prepare_labels,
    turn_array,
)
from oft.pictures.reading import known_formats, load_labels, load_picture, load_stored, open_source

__all__ = [
    "EXPLANATIONS",
    "RESAMPLING",
    "PictureError",
    "Position",
    "Size",
    "crop_box",
    "data_uri",
    "decode_array",
    "decode_rgb",
    "decode_square",
    "encode_jpeg",
    "encode_png",
    "known_formats",
    "load_labels",
    "load_picture",
    "load_stored",
    "open_source",
    "pad_margins",
    "pad_to_square",
    "prepare",
    "prepare_labels",
    "turn_array",
]
