"""Pictures and id maps: decoded safely, cropped and resized alike, encoded to the same bytes every time."""

from __future__ import annotations

import base64
import io
import os
import re
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import numpy as np
from jaxtyping import Integer, Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from oft.errors import DataError
from oft.types import ByteSource

MAX_PIXELS = 200_000_000
"""A larger picture is refused from its header: small files can claim any size. PIL has the same bound set."""

Image.MAX_IMAGE_PIXELS = MAX_PIXELS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "HEIF")
"""What is decoded, whatever a file's suffix says, as far as Pillow was built for it; HEIF, which phones
write, with the package pillow-heif. PIL would hand others to programs outside (EPS)."""

# How formats begin that are not decoded: containers of ISO (films, and pictures of the brands below where
# they cannot be decoded here), JPEG XL, Photoshop, PostScript, PDF, OpenEXR, SVG.
_FOREIGN = re.compile(
    rb"....ftyp(?P<brand>....)|\xff\x0a|\0\0\0\x0cJXL |8BPS|%!PS|%PDF|v/1\x01|\s*<(?:\?xml|svg)", re.DOTALL
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIF", b"heix": "HEIF", b"hevc": "HEIF"}

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

Size = tuple[int, int]
"""Width and height, pixels."""

Position = tuple[float, float]
"""Where a box lies in a picture: left and top as shares, 0 to below 1, of the places there are."""

Resample = Literal["lanczos", "area", "nearest"]
RESAMPLING: dict[str, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}

Encodable = Image.Image | NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.bool_]

# The bulk of a floating-point picture's values, how far it may lie outside of their scale, and how far up it
# must reach on that at least, both as shares of the scale.
_BULK_PERCENT = (1, 99)
_SCALE_SLACK = 0.1
_DARKEST = 1 / 16

_Value = TypeVar("_Value")
_Scalar = TypeVar("_Scalar", bound=np.generic)

_ORIENTATION_TAG = 0x0112
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
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


def open_source(source: ByteSource) -> IO[bytes]:
    """Return a readable stream of the bytes.

    Raises:
        FileNotFoundError: there is no such file.
        Exception: whatever reading a damaged Parquet file raises.
    """
    # Nothing but a plain file: opening a pipe would wait for ever.
    if isinstance(source, Path) and not os.path.isfile(source):
        raise FileNotFoundError(source)
    return source.open("rb")


def load_picture(source: ByteSource) -> Image.Image:
    """Return a picture as RGB, upright, without metadata; what is transparent becomes white.

    Colours are those that its colour profile means, in sRGB. Greyscale, palette, CMYK and 16-bit pictures are
    converted, pictures of floating point by the scale that nearly all of their values lie on; of an animation
    the first frame counts.

    Raises:
        PictureError: the file is missing, unreadable, truncated, too large or of values on no such scale.
    """
    image, turn = load_stored(source)
    return image if turn is None else image.transpose(turn)


def load_stored(source: ByteSource) -> tuple[Image.Image, Image.Transpose | None]:
    """Return what `load_picture` does, not yet upright, and the turn its EXIF asks for, if it does.

    Raises:
        PictureError: as `load_picture`.
    """

    def to_stored(image: Image.Image) -> tuple[Image.Image, Image.Transpose | None] | None:
        rgb = _to_rgb(image)
        return None if rgb is None else (rgb, _UPRIGHT.get(_orientation(image)))

    return _decode(source, to_stored)


def load_labels(source: ByteSource, channel: int | None = None) -> Integer[np.ndarray, "h w"]:
    """Return an id map as whole numbers [height, width], exactly as stored.

    Args:
        source: a palette or greyscale picture, 8 or 16 bits deep; or an RGB one with ``channel`` given.
        channel: which channel holds the ids (2, the third, in DensePose's part maps); None for a map of one
            channel.

    Raises:
        PictureError: the file is missing, unreadable, truncated, too large or of another mode.
    """

    def to_labels(image: Image.Image) -> Integer[np.ndarray, "h w"] | None:
        array = np.asarray(image)
        if channel is not None:
            return array[..., channel].copy() if array.ndim == 3 and channel < array.shape[2] else None
        return array.copy() if array.ndim == 2 and np.issubdtype(array.dtype, np.integer) else None

    return _decode(source, to_labels)


def prepare(
    image: Image.Image,
    size_px: int | Size,
    resample: Resample | Image.Resampling = "lanczos",
    position: Position | None = None,
) -> Image.Image:
    """Return as much of a picture as fits, at a size; one number is the side of a square.

    Args:
        position: where it is cut out; None is the centre.
    """
    chosen = RESAMPLING[resample] if isinstance(resample, str) else resample
    size = (size_px, size_px) if isinstance(size_px, int) else size_px
    return image.crop(crop_box(image.size, size, position)).resize(size, chosen)


def prepare_labels(
    labels: Integer[np.ndarray, "h w"], size_px: int | Size, position: Position | None = None
) -> Integer[np.ndarray, "new_h new_w"]:
    """Return an id map [height, width] cropped and resized as `prepare` does, nearest: no new id appears."""
    if labels.ndim != 2:
        raise ValueError(f"an id map has the shape [height, width], got {labels.shape}")
    # One code path for pictures and maps: equal geometry by construction.
    return np.asarray(prepare(_to_image(labels), size_px, "nearest", position)).astype(labels.dtype)


def turn_array(array: NDArray[_Scalar], turn: Image.Transpose) -> NDArray[_Scalar]:
    """Return a picture or id map [height, width, ...] turned as PIL turns a picture."""
    return np.asarray(_to_image(array).transpose(turn)).astype(array.dtype)


def crop_box(source: Size, target: Size, position: Position | None = None) -> tuple[int, int, int, int]:
    """Return the largest box in ``source`` with the proportions of ``target``: left, top, right, bottom.

    Without a position it lies in the middle.
    """
    (width, height), (target_width, target_height) = source, target
    if width * target_height > height * target_width:
        width = max(1, (height * target_width + target_height // 2) // target_height)
    else:
        height = max(1, (width * target_height + target_width // 2) // target_width)
    slack = source[0] - width, source[1] - height
    if position is None:
        left, top = slack[0] // 2, slack[1] // 2
    else:
        left, top = (int(share * (room + 1)) for share, room in zip(position, slack, strict=True))
    return left, top, left + width, top + height


def encode_jpeg(image: Image.Image | UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """Return JPEG bytes at full chroma resolution (4:4:4), without metadata."""
    return _encode(image, "JPEG", quality=quality, subsampling=0)


def encode_png(image: Encodable) -> bytes:
    """Return PNG bytes without metadata: RGB, or one channel of 16, 8 (id maps, grey pictures) or 1 bit."""
    # Run lengths: for maps and drawings smaller files than zlib's search gives, and twice as fast; for
    # photographs the same size, four times as fast. Nor do they depend on how zlib was built.
    return _encode(image, "PNG", compress_level=1, compress_type=zlib.Z_RLE)


def decode_array(data: bytes) -> Shaped[np.ndarray, "h w *channels"]:
    """Return encoded bytes as an array: uint8 [height, width, 3], or [height, width] for one channel."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).copy()


def decode_rgb(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Return an encoded picture of colours or greys, uint8 [height, width, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).copy()


def decode_square(
    data: bytes, side_px: int, resample: Resample = "lanczos"
) -> UInt8[np.ndarray, "{side_px} {side_px} 3"]:
    """Return the centre square of an encoded picture, uint8 [side, side, 3]; one of that size as it is."""
    return np.asarray(prepare(Image.fromarray(decode_rgb(data)), side_px, resample))


def _decode(source: ByteSource, convert: Callable[[Image.Image], _Value | None]) -> _Value:
    """Return what a picture is converted to; one that gives None is of the wrong mode."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with open_source(source) as stream, Image.open(stream, formats=known_formats()) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PictureError("too_large", source.name)
                _fit_transparency(image)
                image.load()
                value = convert(image)
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError("missing", source.name) from error
    except UnidentifiedImageError as error:
        raise PictureError("unsupported" if _is_foreign(source) else "unreadable", source.name) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise PictureError("too_large", source.name) from error
    except Exception as error:  # decoders raise anything on damaged data: OSError, SyntaxError, ...
        raise PictureError(_damage(str(error)), source.name) from error
    # Most warnings (odd EXIF entries, many in COCO) leave the picture whole; one about missing data does not.
    if any(_damage(str(warning.message)) == "truncated" for warning in caught):
        raise PictureError("truncated", source.name)
    if value is None:
        raise PictureError("wrong_mode", source.name)
    return value


@cache
def known_formats() -> tuple[str, ...]:
    """Return those of ``FORMATS`` that Pillow can decode here."""
    # Those that Pillow registers late; it knows none of a name before.
    from PIL import (  # noqa: F401
        AvifImagePlugin,
        Jpeg2KImagePlugin,
        QoiImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.preinit()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _is_foreign(source: ByteSource) -> bool:
    with open_source(source) as stream:
        match = _FOREIGN.match(stream.read(64))
    return match is not None and _BRANDS.get(match["brand"]) not in known_formats()


def _to_image(array: NDArray[Any]) -> Image.Image:
    """Return an array as PIL's picture, exactly: its 32-bit mode holds every id."""
    return Image.fromarray(array if array.dtype == np.uint8 else array.astype(np.int32))


def _damage(message: str) -> PictureReason:
    return "truncated" if "truncated" in message.lower() else "unreadable"


def _fit_transparency(image: Image.Image) -> None:
    """Bring the grey or colour that a PNG has for transparent to 8 bits, as Pillow will bring its pixels."""
    key = image.info.get("transparency")
    if key is None or not isinstance(image, PngImagePlugin.PngImageFile):
        return
    match image.tile[0].args:
        case "L;2":
            image.info["transparency"] = key * 85
        case "L;4":
            image.info["transparency"] = key * 17
        case "RGB;16B":
            image.info["transparency"] = tuple(level >> 8 for level in key)


def _to_rgb(image: Image.Image) -> Image.Image | None:
    """Return a picture's colours; None where its values lie on no scale of a picture's."""
    profile = image.info.get("icc_profile")
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        if not 0 <= (highest := levels.max()) < 1 << 16:
            return None
        transparent = image.info.get("transparency")
        eight_bits = levels if highest <= 255 and image.mode == "I" else levels >> 8
        image = Image.fromarray(eight_bits.clip(0, 255).astype(np.uint8))
        if transparent is not None:
            image.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    elif image.mode == "F":
        values = np.asarray(image)
        scale = _float_scale(values)
        if scale is None:
            return None
        # Nothing of infinities and of what is no number is left to the cast.
        levels = np.nan_to_num(values * (255 / scale)).clip(0, 255).round()
        image = Image.fromarray(levels.astype(np.uint8))
    image = _to_srgb(image, profile)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    plain = image.convert("RGB")
    plain.info = {}
    return plain


def _float_scale(values: NDArray[np.floating]) -> int | None:
    """Return what white is in a picture of floating point, 1, 255 or 65535; None where it is none of them.

    A few values may lie outside: highlights, what a resampling rings, marks for what was not measured. A
    picture that would be all but black on its scale lies on another: linear light above 1, 10 bits.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, _BULK_PERCENT)
    for white in (1, 255, 65535):
        if high <= white * (1 + _SCALE_SLACK):
            is_on_it = low >= -white * _SCALE_SLACK and (white == 1 or high >= white * _DARKEST)
            return white if is_on_it else None
    return None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture's colours in sRGB, as programs show it; as stored where its profile is of no use."""
    if not profile:
        return image
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in ("L", "RGB") and image.has_transparency_data:
        image = image.convert(f"{image.mode}A")
    colours = image.mode.removesuffix("A")
    transform = _profile_transform(profile, colours)
    if transform is None:
        return image
    shown: Image.Image = transform.apply(image.convert(colours))
    if image.mode != colours:
        shown.putalpha(image.getchannel("A"))
    return shown


@lru_cache(maxsize=16)
def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what brings colours of a mode from a profile to sRGB; None for sRGB and damaged profiles."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(source)),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # viewers show such a picture as stored
        return None
    if mode != "RGB":
        return transform
    # Profiles of sRGB differ in their last digits: what moves no level by more than rounding is one.
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(transform.apply(Image.fromarray(colours))).astype(int)
    return None if np.abs(moved - colours).max() <= 1 else transform


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF in a sound picture: it is shown as stored, as viewers do
        return 1


def _encode(image: Encodable, file_format: str, **options: int) -> bytes:
    plain = image.copy() if isinstance(image, Image.Image) else Image.fromarray(image)
    plain.info = {}  # PIL would carry comments and colour profiles over
    buffer = io.BytesIO()
    plain.save(buffer, file_format, **options)
    return buffer.getvalue()


def pad_to_square(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return a picture or map [height, width, ...] padded to its longer side, its edges repeated outwards.

    For tall pictures of one thing, whose centre square would lose head and feet (DeepFashion-MultiModal).
    """
    height, width = array.shape[:2]
    return np.pad(array, (*pad_margins(width, height), *[(0, 0)] * (array.ndim - 2)), mode="edge")


def pad_margins(width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what `pad_to_square` adds: above and below, left and right."""
    rows, columns = max(width - height, 0), max(height - width, 0)
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def data_uri(data: bytes, kind: Literal["png", "jpeg"]) -> str:
    """Return an encoded picture as an address that holds its bytes."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
