"""PEFT's folder, which says what base it belongs to in a way that ``AutoPeftModel`` follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.exchange.formats.format import Export, Format

# What AutoPeftModel loads of a base: module and class by the base's part.
BASE_CLASSES = {
    "unet": ("diffusers.models.unets.unet_2d_condition", "UNet2DConditionModel"),
    "text_encoder": ("transformers.models.clip.modeling_clip", "CLIPTextModel"),
}


def _write(export: Export) -> list[str]:
    from oft.storage import atomic_folder

    identity = export.identity
    with atomic_folder(export.target) as partial:
        notes = export.adapter.save_for_peft(partial, base_hash=identity.hash, base_name=identity.name)
        _name_base(partial, export.base if export.options.local_base else None)
    return notes


def _name_base(folder: Path, base: Path | None) -> None:
    """Say in each configuration what lies beneath: a repository of the hub, or the base's folder here.

    Args:
        base: None says nothing where it is not of the hub.
    """
    from oft.adapters.files import CONFIG_FILE
    from oft.storage import read_json, write_json

    for file in sorted(folder.rglob(CONFIG_FILE)):
        part = "unet" if file.parent == folder else file.parent.name
        values: dict[str, Any] = read_json(file)
        library, class_name = BASE_CLASSES[part]
        values["auto_mapping"] = {"base_model_class": class_name, "parent_library": library}
        if not values.get("revision"):  # a commit of the hub
            values["base_model_name_or_path"] = None if base is None else str((base / part).resolve())
        write_json(file, dict(sorted(values.items())))


FORMAT = Format(
    name="peft",
    program="PEFT",
    loads="`PeftModel.from_pretrained(unet, out)`, `AutoPeftModel.from_pretrained(out)`",
    exactness="exact; magnitudes of OFT are left out",
    makes="folder",
    precisions=("fp32",),
    takes=("local_base",),
    write=_write,
    is_for_xl=True,
)
