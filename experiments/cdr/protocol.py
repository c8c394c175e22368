"""What is compared, and at what cost: equations, arms, sizes of network, trainings and grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experiments.cdr.equation import Equation
from oft.adapters.full.method import FullSettings
from oft.adapters.oft.settings import OFTSettings
from oft.adapters.peft.method import PeftSettings
from oft.adapters.protocol import AdapterSettings
from oft.adapters.registry import BASE_ALONE

PRETRAINED = Equation(beta=3, nu=0.5, rho=2)
REPORTED = (
    Equation(beta=5, nu=0.5, rho=2),
    Equation(beta=3, nu=1, rho=2),
    Equation(beta=3, nu=0.5, rho=5),
    Equation(beta=4, nu=0.25, rho=3),
)
"""One coefficient changed at a time, then all three."""
VALIDATION = (Equation(beta=4, nu=0.5, rho=1), Equation(beta=2, nu=0.75, rho=3))
"""For learning rates alone: no figure is reported of these."""
VALIDATION_SEED = 1000

SCRATCH = "scratch"
ARMS = (BASE_ALONE, SCRATCH, "full", "oft", "coft", "lora", "boft")
CURVE = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Where errors are taken on the way, as shares of the steps."""


@dataclass(frozen=True)
class Protocol:
    """Sizes of network, trainings and grids.

    Attributes:
        width: neurons of a hidden layer.
        num_hidden: square matrices between hidden layers, those that adapters change.
        pretrain_steps: steps on `PRETRAINED`.
        pretrain_rate: Adam's rate there.
        steps: steps of each arm.
        num_points: points of the domain in each step.
        num_initial: points at t = 0 in each step.
        grid_points: points in x of the grid that errors are taken on.
        grid_slices: times of that grid after the first.
    """

    width: int = 64
    num_hidden: int = 3
    pretrain_steps: int = 2000
    pretrain_rate: float = 3e-3
    steps: int = 200
    num_points: int = 128
    num_initial: int = 32
    grid_points: int = 128
    grid_slices: int = 50

    def curve_steps(self) -> list[int]:
        """Return the steps after which errors are taken, the first 0, the last all."""
        return sorted({round(share * self.steps) for share in CURVE})


def adapter_settings(arm: str, targets: list[str]) -> AdapterSettings | None:
    """Return what an arm trains, None for the pretrained network alone.

    Adapters store about as many numbers a layer of 64 neurons: OFT 4 blocks of 16 (480), LoRA rank 4 (512),
    BOFT 8 blocks of 8 (512, of which half are the other triangle, and 64 magnitudes).

    Args:
        arm: one of `ARMS`.
        targets: names of the layers that adapters change.
    """
    if arm == BASE_ALONE:
        return None
    if arm in (SCRATCH, "full"):
        return FullSettings(method="full")
    if arm in ("oft", "coft"):
        return OFTSettings(method="oft", num_blocks=4, coft=arm == "coft", target_modules=targets)
    own: dict[str, dict[str, Any]] = {
        "lora": {"type": "LORA", "r": 4, "lora_alpha": 4},
        "boft": {"type": "BOFT", "boft_block_size": 8, "boft_n_butterfly_factor": 1},
    }
    return PeftSettings(method="peft", target_modules=targets, **own[arm])
