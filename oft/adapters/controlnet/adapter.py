"""diffusers' ControlNet beside a UNet as an ``Adapter``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from jaxtyping import Float
from torch import Tensor, nn

from oft.adapters.attaching import BASE_REMEDY, freeze, refuse_second, refuse_without_condition
from oft.adapters.files import DIFFUSERS_CONFIG_FILE, DIFFUSERS_WEIGHTS_FILE
from oft.adapters.hint.encoder import draw_weights, proportional_widths
from oft.adapters.protocol import Adapter
from oft.adapters.tensors import file_metadata, read_tensors, write_tensors
from oft.errors import CheckpointError, ParamsError
from oft.storage import read_json, write_json
from oft.weights import check_weights

CHILD_NAME = "controlnet"


@dataclass(frozen=True)
class _Shown:
    """The conditioning images in force, and whether half of the batch alone sees them."""

    images: Tensor
    guess_mode: bool = False


class ControlNetAdapter(Adapter):
    """A copy of the UNet's encoder that sees the conditioning image; zero convolutions lead into the UNet.

    It starts as diffusers' trainer does (``ControlNetModel.from_unet``), but that the convolutions which read
    the image are drawn as those of the hint encoder are, and so are as wide as they: a comparison of the two
    is one of what follows.

    Attributes:
        controlnet: diffusers' model, a child of the UNet.
    """

    method = "controlnet"

    def __init__(
        self, unet: nn.Module, controlnet: ControlNetModel, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Put ``controlnet`` on ``unet``."""
        self.unet, self.controlnet, self.metadata = unet, controlnet, dict(metadata or {})
        self._strength = 1.0
        self._shown: list[_Shown | None] = []
        unet.add_module(CHILD_NAME, controlnet)
        self._hook = unet.register_forward_pre_hook(self._add_residuals, with_kwargs=True)

    @classmethod
    def create(
        cls, unet: nn.Module, settings: Any, *, with_condition: bool, generator: torch.Generator
    ) -> ControlNetAdapter:
        refuse_without_condition(cls.method, with_condition)
        refuse_second(unet, CHILD_NAME)
        with torch.random.fork_rng(devices=[]):  # the module initialises itself from the global generator
            controlnet = ControlNetModel.from_unet(
                unet, conditioning_embedding_out_channels=_embedding_widths(unet)
            )
        embedding = controlnet.controlnet_cond_embedding
        for conv in (embedding.conv_in, *embedding.blocks):
            draw_weights(conv, generator)
        freeze(unet)
        return cls(unet, _beside(unet, controlnet))

    @classmethod
    def load(cls, folder: Path, unet: nn.Module, *, base_hash: str | None = None) -> ControlNetAdapter:
        folder = Path(folder)
        refuse_second(unet, CHILD_NAME)
        tensors, metadata = read_tensors(folder / DIFFUSERS_WEIGHTS_FILE, base_hash)
        source = folder / DIFFUSERS_CONFIG_FILE
        try:
            controlnet = ControlNetModel.from_config(read_json(source))
        except (OSError, ValueError, TypeError, KeyError) as fault:
            raise CheckpointError(f"{source}: must be the configuration of a ControlNet: {fault}") from fault
        check_weights(str(folder / DIFFUSERS_WEIGHTS_FILE), controlnet.state_dict(), tensors, BASE_REMEDY)
        own: Any = unet.config
        for name in ("block_out_channels", "cross_attention_dim", "in_channels", "layers_per_block"):
            if controlnet.config[name] != own[name]:
                raise CheckpointError(
                    f"{source}: {name} ({controlnet.config[name]}) must be the UNet's ({own[name]}); "
                    "use the base it was trained on"
                )
        controlnet.load_state_dict(tensors)
        freeze(unet)
        return cls(unet, _beside(unet, controlnet), metadata)

    def save(
        self,
        folder: Path,
        *,
        base_hash: str,
        base_name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the folder that ``ControlNetModel.from_pretrained`` reads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {name: value for name, value in self.controlnet.config.items() if name != "_name_or_path"}
        write_json(folder / DIFFUSERS_CONFIG_FILE, {"_class_name": "ControlNetModel", **config})
        common = {**(metadata or {}), **file_metadata(base_hash, base_name), "method": self.method}
        write_tensors(folder / DIFFUSERS_WEIGHTS_FILE, self.controlnet.state_dict(), common)

    def remove(self) -> None:
        self._hook.remove()
        delattr(self.unet, CHILD_NAME)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        return {f"controlnet.{name}": value for name, value in self.controlnet.named_parameters()}

    @property
    def takes_condition(self) -> bool:
        return True

    def conditioned(self, images: Float[Tensor, "n 3 height width"] | None) -> AbstractContextManager[None]:
        return self._showing(None if images is None else _Shown(images))

    def guess_mode(self, images: Float[Tensor, "n 3 height width"]) -> AbstractContextManager[None]:
        """As in diffusers: outputs of shallow blocks count less, a tenth at the first."""
        return self._showing(_Shown(images, guess_mode=True))

    @contextmanager
    def _showing(self, shown: _Shown | None) -> Iterator[None]:
        self._shown.append(shown)
        try:
            yield
        finally:
            self._shown.pop()

    @property
    def strength(self) -> float:
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        """Scale what is added to the UNet: diffusers' ``controlnet_conditioning_scale``."""
        self._strength = strength

    @property
    def merged(self) -> bool:
        return False

    def merge(self) -> None:
        """Change nothing: there are no weights to fold in."""

    def unmerge(self) -> None:
        """Change nothing: there are no weights to put back."""

    def count_parameters(self) -> dict[str, int]:
        return {"adapter": sum(value.numel() for value in self.controlnet.parameters())}

    def _add_residuals(
        self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Run the ControlNet on the UNet's own inputs and hand its outputs to the UNet."""
        if not self._shown:
            raise RuntimeError(
                "this UNet takes a control signal: call it inside `with adapter.conditioned(images):`, "
                "with None in place of the images for no signal"
            )
        shown = self._shown[-1]
        if shown is None or self._strength == 0.0:
            return None
        inputs = dict(zip(("sample", "timestep", "encoder_hidden_states"), args, strict=False)) | kwargs
        sample, timestep = inputs["sample"], inputs["timestep"]
        images, num_samples = shown.images, sample.shape[0]
        copies, remainder = divmod(num_samples, images.shape[0])
        if remainder or (shown.guess_mode and copies != 2):
            raise ParamsError(
                f"the conditioning images ({images.shape[0]}) must be as many as the samples ({num_samples}) "
                "or a divisor of their number, in guess mode half as many"
            )
        # In guess mode the conditional half, which is the second, is all that sees the image.
        first = num_samples // 2 if shown.guess_mode else 0
        added = inputs.get("added_cond_kwargs") or {}
        down, middle = self.controlnet(
            sample[first:],
            timestep[first:] if torch.is_tensor(timestep) and timestep.dim() else timestep,
            inputs["encoder_hidden_states"][first:],
            controlnet_cond=images if shown.guess_mode else images.repeat(copies, 1, 1, 1),
            conditioning_scale=self._strength,
            guess_mode=shown.guess_mode,
            added_cond_kwargs={name: values[first:] for name, values in added.items()} or None,
            return_dict=False,
        )
        if shown.guess_mode:
            down = [torch.cat([torch.zeros_like(values), values]) for values in down]
            middle = torch.cat([torch.zeros_like(middle), middle])
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return args, kwargs | residuals


def _embedding_widths(unet: nn.Module) -> tuple[int, ...]:
    """Return the widths of the convolutions that read the image: every other of the hint encoder's."""
    conv_in: Any = unet.get_submodule("conv_in")
    return proportional_widths(conv_in.out_channels)[::2]


def _beside(unet: nn.Module, controlnet: ControlNetModel) -> ControlNetModel:
    """Return ``controlnet`` where the UNet is, in the layout of memory that convolutions are fastest in."""
    device = unet.get_submodule("conv_in").weight.device
    return controlnet.to(device, memory_format=torch.channels_last)
