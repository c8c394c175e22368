"""Counts of known architectures: the published ones, and requests that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from oft.errors import ParamsError
from oft.models.counting import count_trained

# Of a time embedding that the reference creates and never uses; the paper's table counts it.
UNUSED = (320 * 1280 + 1280) + (1280 * 1280 + 1280)


@pytest.mark.parametrize(
    ("num_blocks", "millions", "published"),
    [(2, 26.346, 29.5), (4, 13.145, 16.3), (8, 6.544, 9.7), (16, 3.244, 6.4)],
)
def test_rotations_of_sd15_are_the_papers(num_blocks: int, millions: float, published: float) -> None:
    counted = count_trained("sd15", num_blocks=num_blocks)
    assert round(counted["rotation"] / 1e6, 3) == millions
    assert counted["hint_encoder"] == 1_086_480
    assert counted["total"] == counted["rotation"] + counted["hint_encoder"]
    assert round((counted["total"] + UNUSED) / 1e6, 1) == published
    assert (counted["layers"], counted["base"]) == (144, 859_520_964)


def test_a_count_says_what_was_asked() -> None:
    asked = {
        "adapter": "oft",
        "targets": "subject",
        "num_blocks": None,
        "block_size": 64,
        "block_share": True,
    }
    counted = count_trained("sdxl", targets="subject", block_size=64, block_share=True)
    assert counted == {
        "architecture": "sdxl",
        **asked,
        "layers": 70 * 8,
        "base": 2_567_463_684,
        "rotation": 70 * 8 * 64 * 63 // 2,
        "hint_encoder": 0,
        "total": 70 * 8 * 64 * 63 // 2,
    }


def test_methods_are_counted_on_the_same_layers() -> None:
    oft = count_trained("sd21", num_blocks=8)
    lora = count_trained("sd21", "lora", rank=4)
    controlnet = count_trained("sd21", "controlnet")
    assert lora["rank"] == 4 and "num_blocks" not in lora
    assert lora["layers"] == oft["layers"] == 144 and controlnet["layers"] == 0
    assert lora["hint_encoder"] == oft["hint_encoder"] == controlnet["hint_encoder"] == 1_086_480
    assert controlnet["total"] == 364_228_240


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, r"exactly one of num_blocks \(None\) and block_size \(None\)"),
        ({"num_blocks": 4, "block_size": 80}, r"exactly one of num_blocks \(4\) and block_size \(80\)"),
        ({"num_blocks": 4, "rank": 8}, "adapter 'oft' takes num_blocks or block_size, got rank 8 as well"),
        ({"num_blocks": 3}, r"num_blocks \(3\) must cut in_features \(320\) of 'down_blocks.0"),
        ({"block_size": 320}, r"block_size \(320\) must cut in_features \(768\) of .*attn2.to_k"),
        ({"method": "lora"}, "adapter 'lora' takes a rank, and none is given"),
        ({"method": "lora", "rank": 0}, "rank must be at least 1, got 0"),
        (
            {"method": "lora", "rank": 4, "num_blocks": 2, "block_share": True},
            "adapter 'lora' takes rank, got num_blocks 2 and block_share True as well",
        ),
        ({"method": "controlnet", "rank": 4}, "takes no further setting, got rank 4 as well"),
        ({"method": "controlnet", "targets": "subject"}, "'controlnet' takes in a condition"),
    ],
)
def test_settings_that_do_not_fit_are_refused(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        count_trained("sd15", **request_)
