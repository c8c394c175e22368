"""An adapter that takes conditioning images as a folder that stock diffusers runs, with code of its own.

    model_index.json, unet/, vae/, ...   the merged checkpoint
    hint_encoder/                        config.json, diffusion_pytorch_model.safetensors, hint_encoder.py
    pipeline.py                          the pipeline's class

The two files of code are ``oft.exchange.community``'s, copied; diffusers runs them where the user says
``trust_remote_code=True``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from oft.adapters.files import DIFFUSERS_CONFIG_FILE, DIFFUSERS_WEIGHTS_FILE
from oft.adapters.tensors import file_metadata, write_tensors
from oft.exchange import community
from oft.exchange.bases import BaseIdentity
from oft.models.copying import INDEX_NAME
from oft.storage import read_json, write_json

PART, ENCODER_CLASS = "hint_encoder", "HintEncoder"
PIPELINE_MODULE, PIPELINE_CLASS = "pipeline", "HintControlPipeline"
# Parts of Stable Diffusion's index that a base need not have.
OPTIONAL_PARTS = ("safety_checker", "feature_extractor", "image_encoder")


def add_control(folder: Path, encoder: nn.Module, identity: BaseIdentity) -> None:
    """Turn the merged checkpoint in ``folder`` into one whose pipeline takes conditioning images."""
    code = Path(next(iter(community.__path__)))
    part = folder / PART
    part.mkdir()
    convs = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    widths = [convs[0].in_channels, *(conv.out_channels for conv in convs)]
    write_json(part / DIFFUSERS_CONFIG_FILE, {"_class_name": ENCODER_CLASS, "widths": widths})
    metadata = file_metadata(identity.hash, identity.name)
    write_tensors(part / DIFFUSERS_WEIGHTS_FILE, encoder.state_dict(), metadata)
    shutil.copyfile(code / f"{PART}.py", part / f"{PART}.py")
    shutil.copyfile(code / f"{PIPELINE_MODULE}.py", folder / f"{PIPELINE_MODULE}.py")
    index = read_json(folder / INDEX_NAME)
    for name in OPTIONAL_PARTS:
        if not (folder / name).is_dir():
            index[name] = [None, None]
    index |= {
        "_class_name": [PIPELINE_MODULE, PIPELINE_CLASS],
        PART: [PART, ENCODER_CLASS],
        "requires_safety_checker": False,
    }
    write_json(folder / INDEX_NAME, dict(sorted(index.items())))
