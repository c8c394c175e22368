"""What is passed through the autoencoder together changes no posterior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from oft.models import latents
from oft.models.base import load_base
from oft.models.latents import encode_pictures


def test_pictures_are_encoded_a_few_at_a_time(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(base_folder)
    pictures = torch.randint(
        256, (5, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    at_once = encode_pictures(base, pictures)
    passes: list[int] = []
    encode = base.vae.encode

    def counting(inputs: torch.Tensor) -> Any:
        passes.append(len(inputs))
        return encode(inputs)

    monkeypatch.setattr(base.vae, "encode", counting)
    for pixels, expected in ((2 * 64 * 96, [2, 2, 1]), (1, [1] * 5)):
        monkeypatch.setattr(latents, "PIXELS_A_PASS", pixels)
        torch.testing.assert_close(encode_pictures(base, pictures), at_once)
        assert passes == expected
        passes.clear()
