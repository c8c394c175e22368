"""The base an adapter is exchanged for: a folder in diffusers' layout, placed by the pipeline or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oft.errors import CheckpointError
from oft.models.base import CARD_NAME, hash_weights, parts_of, read_card
from oft.models.copying import INDEX_NAME

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel


REMEDY = "give a whole base in diffusers' layout, in safetensors"


@dataclass(frozen=True)
class BaseIdentity:
    """Name (where it came from) and hash of a base: what adapters are tied to."""

    name: str
    hash: str


def identify_base(folder: Path) -> BaseIdentity:
    """Return a base's identity: as recorded when the pipeline placed it, else computed the same way.

    Raises:
        CheckpointError: the folder is no checkpoint in diffusers' layout.
    """
    if not (folder / INDEX_NAME).is_file():
        raise CheckpointError(
            f"{folder}: a base must be a folder in diffusers' layout, and {INDEX_NAME} is missing; "
            "give for example data/models/base"
        )
    if (folder / CARD_NAME).is_file():
        card = read_card(folder)
        return BaseIdentity(str(card["origin"]), str(card["hash"]))
    return BaseIdentity(folder.resolve().name, hash_weights(folder, parts_of(folder)))


def load_unet(folder: Path) -> UNet2DConditionModel:
    """Return the UNet of a base in float32, frozen.

    Raises:
        CheckpointError: it is missing, damaged or not in safetensors.
    """
    from diffusers import UNet2DConditionModel

    from oft.models.loading import load_network

    unet: UNet2DConditionModel = load_network(UNet2DConditionModel, folder / "unet", REMEDY)
    return unet


def load_text_encoder(folder: Path) -> CLIPTextModel:
    """Return the text encoder of a base in float32, frozen.

    Raises:
        CheckpointError: it is missing, damaged or not in safetensors.
    """
    from transformers import CLIPTextModel

    from oft.models.loading import load_network

    text_encoder: CLIPTextModel = load_network(CLIPTextModel, folder / "text_encoder", REMEDY)
    return text_encoder
