"""The adapters on a diffusers UNet: every attention backend, gradient checkpointing, the control signal."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from oft.adapters.hint.encoder import SD_WIDTHS, HintEncoder, attach_hint, hinted
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import inject_magnitude
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.targets import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS

Turn = Callable[..., None]
Inputs = tuple[Tensor, Tensor, Tensor]
CONFIG = OFTConfig(UNET_CONTROL_TARGETS, num_blocks=2)


def test_the_targets_are_nine_linears_of_each_transformer_block(unet: Any) -> None:
    adapter = inject_oft(unet, CONFIG)
    per_block = Counter(name.rsplit("transformer_blocks.0.")[0] for name, _ in adapter.named_packed())
    assert set(per_block.values()) == {9} and len(per_block) == 7
    adapter.remove()
    subject = inject_oft(unet, OFTConfig(UNET_SUBJECT_TARGETS, num_blocks=2))
    assert len(subject.adapter_parameters()) == 8 * 7


def test_adapter_magnitudes_and_hint_change_no_bit_at_first(
    unet: Any, unet_inputs: Inputs, generator: torch.Generator
) -> None:
    before = unet(*unet_inputs).sample
    inject_oft(unet, CONFIG)
    assert torch.equal(unet(*unet_inputs).sample, before)
    inject_magnitude(unet, UNET_CONTROL_TARGETS)
    encoder = HintEncoder(out_channels=32, generator=generator)
    attach_hint(unet, encoder)
    with hinted(unet, encoder(torch.rand(2, 3, 64, 64, generator=generator))):
        assert torch.equal(unet(*unet_inputs).sample, before)


def test_the_hint_encoder_trains_with_the_adapter_in_either_order(
    unet: Any, generator: torch.Generator
) -> None:
    encoder = HintEncoder(out_channels=32, generator=generator)
    attach_hint(unet, encoder)
    adapter = inject_oft(unet, CONFIG)
    trained = {id(parameter) for parameter in unet.parameters() if parameter.requires_grad}
    assert trained == set(map(id, [*adapter.adapter_parameters(), *encoder.parameters()]))


def test_the_encoder_computes_what_controlnets_does(generator: torch.Generator) -> None:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    theirs = ControlNetConditioningEmbedding(32)
    ours = HintEncoder(out_channels=32, block_out_channels=SD_WIDTHS, generator=generator)
    torch.nn.init.normal_(ours.convs[-1].weight, generator=generator)  # type: ignore[arg-type]
    ordered = [theirs.conv_in, *theirs.blocks, theirs.conv_out]
    for conv, source in zip(ordered, ours.convs, strict=True):
        conv.load_state_dict(source.state_dict())
    images = torch.rand(2, 3, 64, 64, generator=generator).double()
    torch.testing.assert_close(ours.double()(images), theirs.double()(images))


def test_merged_is_unmerged(unet: Any, unet_inputs: Inputs, turn: Turn) -> None:
    base = unet(*unet_inputs).sample
    adapter = inject_oft(unet, CONFIG)
    turn(adapter)
    adapted = unet(*unet_inputs).sample
    with adapter.merging():
        torch.testing.assert_close(unet(*unet_inputs).sample, adapted, atol=2e-5, rtol=1e-5)
    with adapter.disabled():
        assert torch.equal(unet(*unet_inputs).sample, base)
    assert (adapted - base).abs().max() > 1e-3
    assert adapter.orthogonality_error() <= 1e-6


@pytest.mark.parametrize("set_first", [False, True])
def test_the_attention_backend_does_not_matter(
    unet: Any, unet_inputs: Inputs, turn: Turn, set_first: bool
) -> None:
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    outputs, gradients = [], []
    for processor in (AttnProcessor2_0(), AttnProcessor()):
        twin = copy.deepcopy(unet)
        if set_first:
            twin.set_attn_processor(processor)
        adapter = inject_oft(twin, CONFIG)
        turn_alike(adapter)
        twin.set_attn_processor(processor)
        outputs.append(twin(*unet_inputs).sample)
        outputs[-1].square().mean().backward()
        gradients.append([packed.grad for packed in adapter.adapter_parameters()])
    torch.testing.assert_close(outputs[0], outputs[1], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="xformers computes attention on a GPU alone")
def test_xformers_does_not_matter(unet: Any, unet_inputs: Inputs) -> None:
    pytest.importorskip("xformers")
    unet, inputs = unet.cuda(), tuple(tensor.cuda() for tensor in unet_inputs)
    turn_alike(inject_oft(unet, CONFIG))
    expected = unet(*inputs).sample
    unet.enable_xformers_memory_efficient_attention()
    torch.testing.assert_close(unet(*inputs).sample, expected, atol=1e-3, rtol=1e-3)


def turn_alike(adapter: OFTAdapter) -> None:
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for packed in adapter.adapter_parameters():
            packed.copy_(torch.randn(packed.shape, generator=generator) * 0.2)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_the_plain_composition(
    unet: Any, unet_inputs: Inputs, turn: Turn, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import oft.adapters.oft.layers as layers
    from oft.adapters.oft.rotation import rotate_weight

    adapter = inject_oft(unet, CONFIG)
    turn(adapter)
    unet.train()
    with monkeypatch.context() as patch:  # autograd's own gradients through W Rᵀ
        patch.setattr(
            layers,
            "rotated_linear",
            lambda x, w, b, r, _: torch.nn.functional.linear(x, rotate_weight(w, r), b),
        )
        unet(*unet_inputs).sample.square().mean().backward()
    expected = [packed.grad for packed in adapter.adapter_parameters()]
    for packed in adapter.adapter_parameters():
        packed.grad = None
    if checkpointing:
        unet.enable_gradient_checkpointing()
    unet(*unet_inputs).sample.square().mean().backward()
    for packed, grad in zip(adapter.adapter_parameters(), expected, strict=True):
        assert packed.grad is not None and grad is not None
        torch.testing.assert_close(packed.grad, grad, atol=1e-5 * float(grad.abs().max()) + 1e-9, rtol=1e-3)
