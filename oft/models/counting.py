"""What a method trains on a known architecture, from its name and settings alone."""

from __future__ import annotations

from typing import Any, Literal

from oft.errors import ParamsError
from oft.models.architectures import Architecture, make_controlnet, make_unet

Method = Literal["oft", "lora", "controlnet"]
Targets = Literal["control", "subject"]


def count_trained(
    architecture: Architecture,
    method: Method = "oft",
    targets: Targets = "control",
    *,
    num_blocks: int | None = None,
    block_size: int | None = None,
    block_share: bool = False,
    rank: int | None = None,
) -> dict[str, Any]:
    """Return what was asked for and the parameters of it: of the UNet, and of what is trained, by part.

    Args:
        targets: ``control`` adapts attention and the first feed-forward layer and adds a hint encoder,
            ``subject`` adapts attention alone (arXiv 2306.07280, appendix A).
        num_blocks: OFT's, or ``block_size`` instead.
        rank: LoRA's.

    Raises:
        ParamsError: a setting is another method's, one is missing, or blocks do not fit the architecture.
    """
    from oft.adapters.oft.config import OFTConfig
    from oft.adapters.targets import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS
    from oft.models.counts import count_controlnet, count_lora, count_oft

    oft = {"num_blocks": num_blocks, "block_size": block_size, "block_share": block_share or None}
    lora = {"rank": rank}
    with_condition = targets == "control"
    target_modules = UNET_CONTROL_TARGETS if with_condition else UNET_SUBJECT_TARGETS
    asked: dict[str, Any] = {"architecture": architecture, "adapter": method, "targets": targets}
    if method == "oft":
        _refuse(method, "num_blocks or block_size", lora)
        config = OFTConfig(
            target_modules, num_blocks=num_blocks, block_size=block_size, block_share=block_share
        )
        counted = count_oft(make_unet(architecture), config, with_condition=with_condition)
        asked |= {**oft, "block_share": block_share}
    elif method == "lora":
        _refuse(method, "rank", oft)
        if rank is None:
            raise ParamsError("adapter 'lora' takes a rank, and none is given; LoRA's are 4 to 128")
        counted = count_lora(make_unet(architecture), target_modules, rank, with_condition=with_condition)
        asked |= lora
    else:
        _refuse(method, "no further setting", {**oft, **lora})
        if not with_condition:
            raise ParamsError(
                f"adapter 'controlnet' takes in a condition; targets {targets!r} have none: leave that out"
            )
        unet = make_unet(architecture)
        counted = count_controlnet(unet, make_controlnet(unet))
    return asked | counted.to_json()


def _refuse(method: Method, own: str, others: dict[str, int | bool | None]) -> None:
    given = [f"{name} {value}" for name, value in others.items() if value is not None]
    if given:
        raise ParamsError(
            f"adapter {method!r} takes {own}, got {' and '.join(given)} as well; leave that out"
        )
