"""The hint encoder of an adapter trained by oft-pipeline: ControlNet's small convolutional encoder.

Conditioning images [n, 3, 8 h, 8 w] in 0..1 become features [n, channels, h, w], which are added once to the
output of the UNet's conv_in.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

STRIDED = (2, 4, 6)


class HintEncoder(ModelMixin, ConfigMixin):
    """3x3 convolutions with SiLU between; the third, fifth and seventh halve the resolution."""

    @register_to_config
    def __init__(self, widths: Any = (3, 16, 16, 32, 32, 96, 96, 256, 320)) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width_in, width_out, 3, stride=2 if index in STRIDED else 1, padding=1)
            for index, (width_in, width_out) in enumerate(pairwise(widths))
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features of conditioning images."""
        first, *others = self.convs
        features: torch.Tensor = first(images)
        for conv in others:
            features = conv(F.silu(features))
        return features
