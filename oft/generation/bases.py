"""The base to draw with, wherever it lies: placed by the pipeline, a diffusers folder, a file, the hub."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from oft.errors import CheckpointError
from oft.exchange.bases import identify_base
from oft.models.base import latent_shape, load_parts, pixels_per_latent
from oft.models.copying import INDEX_NAME
from oft.models.device import choose_device, make_deterministic
from oft.models.hub import download, is_hub_id
from oft.models.placing import place, weight_patterns
from oft.settings.training import Base as BaseSettings

if TYPE_CHECKING:
    from oft.models.base import Base
    from oft.params import Params

REMEDY = "give another with --base"


def open_to_draw(source: str, config: str, size_px: int | None, params: Params | None) -> tuple[Base, int]:
    """Return a base on this machine's device, and the side of the pictures that it draws, pixels.

    Args:
        config: what a single file holds, as ``base.config`` in params.yaml.
        size_px: None for that of params.yaml or, without, the base's own.

    Raises:
        CheckpointError: as `open_base`, or the base cannot draw that size.
    """
    make_deterministic()
    settings = BaseSettings(source=source, variant=None, config=config, tokenizer=None, use_ema=True)
    base = open_base(settings, choose_device())
    own_px = params.resolution_px if params else int(base.unet.config.sample_size) * pixels_per_latent(base)
    latent_shape(base, size_px or own_px)  # refuses a size that the base cannot draw
    return base, size_px or own_px


def open_base(settings: BaseSettings, device: str) -> Base:
    """Load a base, frozen, in float32.

    A folder in diffusers' layout is read where it lies. A single file is converted once, into the user's
    cache.

    Raises:
        CheckpointError: there is no such base, it cannot be fetched, or a part is missing or damaged.
    """
    source = Path(settings.source)
    if source.is_dir():
        folder, origin = source, None
    elif not source.exists() and is_hub_id(settings.source):
        folder = download(settings.source, weight_patterns(settings.variant), "--base")
        origin = settings.source
    elif source.is_file():
        folder, origin = _converted(settings), None
    else:
        raise CheckpointError(
            f"--base ({settings.source}): there is no such folder or file; give a folder in diffusers' "
            "layout, a .safetensors or .ckpt file, or owner/name@commit on the hub; `make repro` makes "
            "data/models/base"
        )
    identity = identify_base(folder)
    card = {"hash": identity.hash, "origin": origin or identity.name}
    return load_parts(folder, card, REMEDY, device)


def _converted(settings: BaseSettings) -> Path:
    """Return the folder that a single file was converted to, now or before."""
    source = Path(settings.source).resolve()
    status = source.stat()
    told_apart = (str(source), status.st_size, status.st_mtime_ns, settings.model_dump_json())
    name = hashlib.sha256(repr(told_apart).encode()).hexdigest()[:16]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "oft" / "bases" / name
    if not (folder / INDEX_NAME).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        place(settings, folder)
    return folder
