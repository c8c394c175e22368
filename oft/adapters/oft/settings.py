"""Settings of orthogonal finetuning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from oft.adapters.protocol import AdapterSettings
from oft.settings.section import PositiveFloat, PositiveInt


class OFTSettings(AdapterSettings):
    """Shape of the rotations; ``oft.adapters.oft.config.OFTConfig`` says what each value means."""

    method: Literal["oft"]
    num_blocks: PositiveInt | None = None
    block_size: Annotated[int, Field(ge=2)] | None = None
    block_share: bool = False
    coft: bool = False
    eps: PositiveFloat = 1e-3
    eps_convention: Literal["reference", "peft"] = "reference"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    parameter_scale: Literal["none", "block_size"] = "block_size"
    application: Literal["auto", "weight", "input"] = "auto"
    target_modules: list[str] | None = None

    @model_validator(mode="after")
    def _blocks_are_given_once(self) -> OFTSettings:
        if (self.num_blocks is None) == (self.block_size is None):
            raise ValueError(
                f"one of num_blocks ({self.num_blocks}) and block_size ({self.block_size}) must be a number "
                "and the other null"
            )
        return self

    @model_validator(mode="after")
    def _targets_are_null_or_some(self) -> OFTSettings:
        if self.target_modules is not None and not self.target_modules:
            raise ValueError("target_modules must name a layer, got []; null takes those of the paper")
        return self
