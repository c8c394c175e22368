"""Adapting models of other libraries and other shapes, and training them on several processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import OFTAdapter, inject_oft

Turn = Callable[..., None]


def text_encoder() -> tuple[nn.Module, tuple[str, ...] | str, Callable[[nn.Module], Tensor]]:
    from transformers import CLIPTextConfig, CLIPTextModel

    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=99,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    tokens = torch.tensor([[1, 5, 9, 2], [1, 7, 2, 2]])
    return model, ("q_proj", "k_proj", "v_proj", "out_proj"), lambda m: m(tokens).last_hidden_state


def classifier() -> tuple[nn.Module, tuple[str, ...] | str, Callable[[nn.Module], Tensor]]:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    model = RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=99,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=12,
        )
    )
    tokens = torch.tensor([[0, 5, 9, 2], [0, 7, 2, 2]])
    return model, r".*\.(query|value|dense)", lambda m: m(tokens).logits


def unet_convolutions() -> tuple[nn.Module, tuple[str, ...] | str, Callable[[nn.Module], Tensor]]:
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
    )
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    hidden_states = torch.randn(2, 3, 8, generator=generator)
    return (
        model,
        ("conv1", "conv2", "conv_shortcut", "proj_in", "to_q", "0.conv"),
        lambda m: m(latents, torch.tensor([5, 900]), hidden_states).sample,
    )


def stack() -> tuple[nn.Module, tuple[str, ...] | str, Callable[[nn.Module], Tensor]]:
    model = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 4))
    x = torch.linspace(-1, 1, 24).reshape(3, 8)
    return model, ("0", "2"), lambda m: m(x)


@pytest.mark.parametrize("build", [text_encoder, classifier, unet_convolutions, stack])
def test_any_tree_starts_as_the_base_trains_and_merges(build: Callable[[], Any], turn: Turn) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the libraries' constructors draw from the global generator
        model, targets, run = build()
    model.eval()
    base = run(model).detach()
    adapter = inject_oft(model, OFTConfig(targets, block_size=4))
    torch.testing.assert_close(run(model), base, rtol=0, atol=1e-6)
    turn(adapter)
    rotated = run(model)
    assert not torch.allclose(rotated, base, atol=1e-3)
    rotated.square().mean().backward()
    assert all(packed.grad is not None and packed.grad.any() for packed in adapter.adapter_parameters())
    with adapter.merging():
        torch.testing.assert_close(run(model), rotated, atol=1e-5, rtol=1e-4)
    adapter.remove()
    assert torch.equal(run(model), base)


def _train_shard(rank: int, folder: Path) -> None:
    """One of two processes: half of each batch, gradients averaged by DDP, over two accumulated steps."""
    model, batches = torch.load(folder / "job.pt", weights_only=False)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2
    )
    try:
        ddp = nn.parallel.DistributedDataParallel(model)
        adapter = model.oft_adapter
        assert isinstance(adapter, OFTAdapter)
        optimizer = torch.optim.SGD(adapter.adapter_parameters(), lr=0.1)
        for micro_batches in batches:
            first, second = (batch.chunk(2)[rank] for batch in micro_batches)
            with ddp.no_sync():
                ddp(first).square().mean().backward()
            ddp(second).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        if rank == 0:
            torch.save([packed.detach() for packed in adapter.adapter_parameters()], folder / "trained.pt")
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_train_as_one_does(tmp_path: Path, turn: Turn, generator: torch.Generator) -> None:
    model = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 4))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    adapter = inject_oft(model, OFTConfig(("0", "2"), num_blocks=2))
    turn(adapter)
    batches = torch.randn(3, 2, 6, 8, generator=generator)  # steps, micro-batches, pictures
    alone = copy.deepcopy(model)
    torch.save((model, batches), tmp_path / "job.pt")
    spawn(_train_shard, (tmp_path,), nprocs=2)
    trained = torch.load(tmp_path / "trained.pt", weights_only=True)

    assert isinstance(alone.oft_adapter, OFTAdapter)
    parameters = alone.oft_adapter.adapter_parameters()
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for micro_batches in batches:
        for batch in micro_batches:
            alone(batch).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    for ours, theirs, start in zip(trained, parameters, adapter.adapter_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.detach())
        assert not torch.allclose(ours, start)
