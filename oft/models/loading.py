"""Networks from local folders of weights in safetensors: whole, finite, and no code of the folder is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.adapters.files import CONFIG_FILE as ADAPTER_CONFIG_FILE
from oft.adapters.files import DIFFUSERS_CONFIG_FILE, read_object
from oft.errors import CheckpointError, first_line
from oft.progress import hide_loading_bars

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHT_FILE = re.compile(r"(model|diffusion_pytorch_model)(-\d+-of-\d+)?\.safetensors")
"""The files that diffusers and transformers read of a folder; variants and older copies may lie beside."""

INDEX_FILES = ("model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json")
"""They name the files of weights that are in several."""

NEVER_USED = re.compile(r"neck\.fusion_stage\.layers\.0\.residual_layer1\.")
"""Weights that DPT has and never uses: its deepest fusion has no residual. Published files lack them."""


def load_part(
    model_class: Any, folder: Path, remedy: str, *, named: Path | None = None, **options: Any
) -> Any:
    """Return what ``model_class.from_pretrained`` makes of a folder, without a network and without its code.

    Args:
        named: how messages call the folder; None for its path.
        options: passed on.

    Raises:
        CheckpointError: it is missing, damaged or of another class, or names weights that are not its own;
            the message ends with ``remedy``.
    """
    _refuse_other_weights(folder, named or folder, remedy)
    hide_loading_bars()
    if model_class.__module__.startswith("transformers."):
        # Unset, a folder whose configuration names code of its own has transformers ask on the terminal.
        options["trust_remote_code"] = False
    try:
        return model_class.from_pretrained(folder, local_files_only=True, **options)
    except Exception as fault:  # OSError, ValueError, KeyError, TypeError, SafetensorError ...
        raise CheckpointError(
            f"{named or folder}: cannot be loaded as {model_class.__name__} ({first_line(fault)}); {remedy}"
        ) from fault


def load_network(
    model_class: Any,
    folder: Path,
    remedy: str,
    *,
    named: Path | None = None,
    dtype: torch.dtype | None = None,
    without_head: bool = False,
    **options: Any,
) -> Any:
    """Return a network from weights in safetensors, frozen, in ``dtype`` whatever they are kept in.

    Args:
        named: how messages call the folder; None for its path.
        dtype: None for float32.
        without_head: weights of a head, which the network does not have, may lie in the file.
        options: passed on to the network's ``from_pretrained``.

    Raises:
        CheckpointError: see ``load_part``; or weights are missing, too many, of another shape or type, or no
            finite numbers.
    """
    import torch

    from oft.weights import not_finite_names, refuse

    if model_class.__module__.startswith("transformers."):
        options["ignore_mismatched_sizes"] = True  # it names none of them in its error
    network, loading = load_part(
        model_class,
        folder,
        remedy,
        named=named,
        use_safetensors=True,
        dtype=dtype or torch.float32,
        output_loading_info=True,
        **options,
    )
    refuse(
        f"{named or folder}: its weights must be those of the {type(network).__name__} in config.json",
        remedy,
        missing=sorted(name for name in loading["missing_keys"] if not NEVER_USED.match(name)),
        unexpected=sorted(_unexpected(network, loading["unexpected_keys"], without_head)),
        misshapen=sorted(
            f"{name} is {list(stored)}, not {list(wanted)}"
            for name, stored, wanted in loading["mismatched_keys"]
        ),
        mistyped=sorted(_whole_numbers(network, folder)),
        not_finite=not_finite_names(
            {name: value for name, value in network.state_dict().items() if not NEVER_USED.match(name)}
        ),
    )
    return network.eval().requires_grad_(False)


def load_tokenizer(tokenizer_class: Any, folder: Path, remedy: str, *, named: Path | None = None) -> Any:
    """Return the tokenizer in a folder; ``named`` is how messages call the folder.

    Raises:
        CheckpointError: it has no vocabulary, or is damaged.
    """
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        # transformers would make up a vocabulary of three tokens and say nothing.
        raise CheckpointError(
            f"{named or folder}: a tokenizer needs tokenizer.json or vocab.json, and has neither; {remedy}"
        )
    return load_part(tokenizer_class, folder, remedy, named=named)


def _refuse_other_weights(folder: Path, named: Path, remedy: str) -> None:
    """Refuse a folder that has diffusers or transformers load other files than `WEIGHT_FILE` in it.

    What is wrong with a file that cannot be read, loading tells.
    """
    if (folder / ADAPTER_CONFIG_FILE).exists():
        # transformers would take the weights of the base that it names, and put the adapter on them.
        raise CheckpointError(
            f"{named / ADAPTER_CONFIG_FILE}: an adapter must not lie beside the weights of a network; move "
            f"it to a folder of its own, or {remedy}"
        )
    if "transformers_weights" in read_object(folder / DIFFUSERS_CONFIG_FILE):
        raise CheckpointError(
            f"{named / DIFFUSERS_CONFIG_FILE}: transformers_weights must not name another file of weights; "
            f"remove it, or {remedy}"
        )
    for index in INDEX_FILES:
        weight_map = read_object(folder / index).get("weight_map", {})
        names = weight_map.values() if isinstance(weight_map, dict) else [weight_map]
        for name in names:
            if not (isinstance(name, str) and WEIGHT_FILE.fullmatch(name) and (folder / name).is_file()):
                raise CheckpointError(
                    f"{named / index}: must name files beside it such as "
                    f"model-00001-of-00002.safetensors, got {str(name)[:80]!r}; {remedy}"
                )


def _unexpected(network: nn.Module, names: Iterable[str], without_head: bool) -> Iterator[str]:
    # Buffers that are computed anew were once stored.
    computed = {name.rpartition(".")[2] for name, _ in network.named_buffers()}
    parts = {name for name, _ in network.named_children()} | {getattr(network, "base_model_prefix", "")}
    for name in names:
        of_a_head = without_head and name.partition(".")[0] not in parts
        if not of_a_head and name.rpartition(".")[2] not in computed:
            yield name


def _whole_numbers(network: nn.Module, folder: Path) -> Iterator[str]:
    """Yield stored tensors, with their types, that are cast to floating point without a word."""
    from safetensors import safe_open

    whole = {
        name.rpartition(".")[2] for name, value in network.named_buffers() if not value.is_floating_point()
    }
    for path in sorted(folder.iterdir()):
        if not (WEIGHT_FILE.fullmatch(path.name) and path.is_file()):
            continue
        with safe_open(path, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 (no mapping)
                dtype = stored.get_slice(name).get_dtype()
                if dtype not in ("F16", "BF16", "F32", "F64") and name.rpartition(".")[2] not in whole:
                    yield f"{name} ({dtype})"
