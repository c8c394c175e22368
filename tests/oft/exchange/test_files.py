"""The file of weights in a folder of another program."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.errors import CheckpointError
from oft.exchange.files import find_checkpoint


def test_a_folder_gives_its_file_the_safe_format_first(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold one of adapter_model.safetensors"):
        find_checkpoint(tmp_path)
    for name in ("pytorch_oft_weights.bin", "adapter_model.bin", "adapter_model.safetensors"):
        (tmp_path / name).touch()
        assert find_checkpoint(tmp_path).name == name
        assert find_checkpoint(tmp_path / name) == tmp_path / name
    with pytest.raises(CheckpointError, match="does not exist"):
        find_checkpoint(tmp_path / "nowhere")
