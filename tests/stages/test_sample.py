"""What the stage `sample` is asked for must stand in the params."""

from __future__ import annotations

import pytest

from oft.errors import ParamsError
from stages import sample
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("task", "adapter", "shard", "said"),
    [
        ("canny_mars", "oft", "0", "no such task"),
        ("canny_coco", "novel", "0", "no such adapter"),
        ("canny_coco", "oft", "5", "sample_shards .* has 0 to 0"),
        ("canny_coco", "none", "-1", "sample_shards .* has 0 to 0"),
    ],
)
def test_what_the_params_do_not_have_is_refused(
    task: str, adapter: str, shard: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ParamsError, match=said):
        sample.main(["--task", task, "--adapter", adapter, f"--shard={shard}"])
