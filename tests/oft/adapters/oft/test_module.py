from __future__ import annotations

import contextlib
import copy
import gc
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from oft.adapters.oft import layers, rotation
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.oft.rotation import cayley, coft_bound, skew_norm
from oft.adapters.targets import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS
from oft.errors import CheckpointError, ParamsError
from oft.evaluation.energy import hyperspherical_energy
from tests.oft.conftest import MLP_TARGETS, Mlp, cosines, naive_forward

Turn = Callable[..., None]
CONFIG = OFTConfig(MLP_TARGETS, num_blocks=2)
FEW, MANY = 5, 30  # tokens: fewer than either target's output neurons, more than both


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(MANY, 16, generator=generator)


@pytest.fixture
def cayley_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of blocks in each call of the Cayley transform."""
    calls: list[int] = []

    def counting(skew: Tensor) -> Tensor:
        calls.append(len(skew))
        return cayley(skew)

    monkeypatch.setattr("oft.adapters.oft.module.cayley", counting)
    return calls


def test_the_targets_are_the_papers() -> None:
    assert len(UNET_CONTROL_TARGETS) == 9 and set(UNET_SUBJECT_TARGETS) < set(UNET_CONTROL_TARGETS)
    assert len(UNET_SUBJECT_TARGETS) == 8


@pytest.mark.parametrize("tokens", [FEW, MANY])
def test_a_fresh_adapter_changes_no_bit(mlp: Mlp, x: Tensor, tokens: int) -> None:
    before = mlp(x[:tokens])
    inject_oft(mlp, CONFIG)
    assert torch.equal(mlp(x[:tokens]), before)


def test_only_the_adapter_trains_and_the_base_keeps_its_names(mlp: Mlp) -> None:
    names = list(mlp.state_dict())
    adapter = inject_oft(mlp, CONFIG)
    trained = [parameter for parameter in mlp.parameters() if parameter.requires_grad]
    assert list(map(id, trained)) == list(map(id, adapter.adapter_parameters()))
    assert [name for name in mlp.state_dict() if not name.startswith("oft_adapter.")] == names
    assert [name for name, _ in adapter.named_packed()] == ["to_q", "to_out.0"]


@pytest.mark.parametrize(("share", "stored"), [(False, 4), (True, 1)])
def test_num_blocks_and_block_size_count_parameters(mlp: Mlp, share: bool, stored: int) -> None:
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=4, block_share=share))
    assert [tuple(p.shape) for p in adapter.adapter_parameters()] == [(stored, 6), (stored, 15)]
    assert adapter.num_parameters == stored * 21
    adapter.remove()
    by_size = inject_oft(mlp, OFTConfig(MLP_TARGETS, block_size=8))
    assert [tuple(p.shape) for p in by_size.adapter_parameters()] == [(2, 28), (3, 28)]


@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("share", [False, True])
def test_outputs_and_gradients_are_those_of_a_naive_implementation(
    mlp: Mlp, x: Tensor, turn: Turn, tokens: int, share: bool
) -> None:
    base = copy.deepcopy(mlp.double())
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=2, block_share=share))
    turn(adapter)
    packed = {name: p.detach().clone().requires_grad_() for name, p in adapter.named_packed()}
    for start in (0, 1, 2):  # three micro-batches
        batch = x[start : tokens + start].double()
        expected = naive_forward(base, packed, batch)
        actual = mlp(batch)
        torch.testing.assert_close(actual, expected)
        expected.square().sum().backward()
        actual.square().sum().backward()
    for name, parameter in adapter.named_packed():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0
        torch.testing.assert_close(parameter.grad, packed[name].grad)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(
    mlp: Mlp, x: Tensor, turn: Turn, reentrant: bool, cayley_calls: list[int]
) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    mlp(x).square().sum().backward()
    expected = [parameter.grad for parameter in adapter.adapter_parameters()]
    for parameter in adapter.adapter_parameters():
        parameter.grad = None
    adapter.refresh()
    cayley_calls.clear()
    adapter._cache.clear()  # so that the rotations are made inside the checkpointed region
    for _ in range(2):
        checkpoint(mlp, x.clone().requires_grad_(), use_reentrant=reentrant).square().sum().backward()
    for parameter, grad in zip(adapter.adapter_parameters(), expected, strict=True):
        assert parameter.grad is not None and grad is not None
        torch.testing.assert_close(parameter.grad, 2 * grad)
    assert len(cayley_calls) == 2  # one for each of two block sizes, in four forward passes


def test_one_cayley_for_each_block_size_and_optimizer_step(
    mlp: Mlp, x: Tensor, cayley_calls: list[int]
) -> None:
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, block_size=4))
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=0.1)
    for _ in range(3):
        for _ in range(4):
            mlp(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert cayley_calls == [4 + 6] * 3


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"foreach": False}])
def test_every_optimizers_step_is_noticed(mlp: Mlp, x: Tensor, options: dict[str, Any]) -> None:
    base = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, CONFIG)
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=0.1, **options)
    before = mlp(x)
    before.square().sum().backward()
    optimizer.step()
    after = mlp(x)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, naive_forward(base, dict(adapter.named_packed()), x))


def test_every_other_change_is_noticed(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    base = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, CONFIG)

    def holds() -> bool:
        return torch.allclose(mlp(x), naive_forward(base, dict(adapter.named_packed()), x), atol=1e-6)

    assert holds()
    turn(adapter)
    assert holds()
    state = copy.deepcopy(mlp.state_dict())
    adapter.load_packed({name: torch.zeros_like(packed) for name, packed in adapter.named_packed()})
    assert holds()
    mlp.load_state_dict(state)
    assert holds()
    for parameter in adapter.adapter_parameters():
        parameter.data = parameter.data * 2
    assert holds()
    for parameter in adapter.adapter_parameters():
        parameter.data.mul_(0.5)  # the one change that has to be announced
    adapter.refresh()
    assert holds()
    mlp.double()
    base.double()
    x = x.double()
    assert holds()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_goes_on_after_an_evaluation(mlp: Mlp, x: Tensor, mode: Any) -> None:
    adapter = inject_oft(mlp, CONFIG)
    with mode():
        mlp(x)
    mlp(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in adapter.adapter_parameters())


def test_training_keeps_rotations_orthogonal_and_angles_between_neurons(mlp: Mlp, x: Tensor) -> None:
    adapter = inject_oft(mlp, CONFIG)
    base = {name: mlp.linear(name).weight.clone() for name in MLP_TARGETS}
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        loss = (mlp(x) - x[:, :4]).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert adapter.orthogonality_error() <= 1e-6
    adapter.merge()
    for name, weight in base.items():
        adapted = mlp.linear(name).weight
        assert (adapted - weight).abs().max() > 0.01
        torch.testing.assert_close(cosines(adapted), cosines(weight), atol=1e-6, rtol=0)
        assert hyperspherical_energy(adapted) == pytest.approx(hyperspherical_energy(weight), rel=1e-6)


@pytest.mark.parametrize("tokens", [FEW, MANY])
def test_merged_is_unmerged_and_comes_back_to_the_bit(mlp: Mlp, x: Tensor, turn: Turn, tokens: int) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    base = copy.deepcopy(mlp.state_dict())
    unmerged = mlp(x[:tokens])
    adapter.merge()
    assert adapter.merged and not torch.equal(mlp.to_q.weight, base["to_q.weight"])
    torch.testing.assert_close(mlp(x[:tokens]), unmerged)
    adapter.merge()
    torch.testing.assert_close(mlp(x[:tokens]), unmerged)
    adapter.unmerge()
    assert not adapter.merged
    assert all(torch.equal(value, base[name]) for name, value in mlp.state_dict().items())
    assert torch.equal(mlp(x[:tokens]), unmerged)


def test_merging_is_undone_after_the_block_and_follows_new_parameters(
    mlp: Mlp, x: Tensor, turn: Turn
) -> None:
    adapter = inject_oft(mlp, CONFIG)
    inside = []
    with contextlib.suppress(KeyError), adapter.merging():
        inside.append(adapter.merged)
        raise KeyError
    assert inside == [True] and not adapter.merged
    turn(adapter)
    packed = {name: value.detach().clone() for name, value in adapter.named_packed()}
    expected = mlp(x)
    adapter.load_packed({name: torch.zeros_like(value) for name, value in packed.items()})
    with adapter.merging():
        adapter.load_packed(packed)
        torch.testing.assert_close(mlp(x), expected)


def test_a_merged_model_may_change_type(mlp: Mlp, turn: Turn) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    base = mlp.to_q.weight.detach().clone()
    adapter.merge()
    mlp.to(torch.bfloat16)
    adapter.unmerge()
    assert torch.equal(mlp.to_q.weight, base.bfloat16())


@pytest.mark.parametrize("merged", [False, True])
def test_a_disabled_adapter_leaves_the_base(mlp: Mlp, x: Tensor, turn: Turn, merged: bool) -> None:
    base = mlp(x)
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    if merged:
        adapter.merge()
    adapted = mlp(x)
    with adapter.disabled():
        assert torch.equal(mlp(x), base)
    assert adapter.merged is merged
    assert torch.equal(mlp(x), adapted) and not torch.allclose(adapted, base)


def test_removal_leaves_the_base_or_the_merged_model(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    base, names = mlp(x), list(mlp.state_dict())
    for keep_merged in (False, True):
        adapter = inject_oft(mlp, CONFIG)
        turn(adapter)
        adapter.merge()
        adapted = mlp(x)
        adapter.remove(keep_merged=keep_merged)
        assert torch.equal(mlp(x), adapted if keep_merged else base)
        assert type(mlp.to_q) is nn.Linear and list(mlp.state_dict()) == names


def test_training_a_merged_adapter_is_refused(mlp: Mlp) -> None:
    adapter = inject_oft(mlp, CONFIG)
    optimizer = torch.optim.SGD(adapter.adapter_parameters(), lr=1.0)
    adapter.merge()
    with pytest.raises(RuntimeError, match=r"merged oft_adapter; unmerge\(\)"):
        optimizer.step()


def test_other_optimizers_leave_the_rotations_alone(mlp: Mlp, x: Tensor, cayley_calls: list[int]) -> None:
    inject_oft(mlp, CONFIG)
    mlp(x)
    cayley_calls.clear()
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0).step()
    mlp(x)
    assert cayley_calls == []


@pytest.mark.parametrize("share", [False, True])
def test_coft_stays_within_its_bound(mlp: Mlp, x: Tensor, share: bool) -> None:
    config = OFTConfig(MLP_TARGETS, num_blocks=2, block_share=share, coft=True, eps=1e-3)
    adapter = inject_oft(mlp, config)
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=0.05)
    for _ in range(3):
        mlp(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    mlp(x)
    for (name, packed), in_features in zip(adapter.named_packed(), (16, 24), strict=True):
        bound = coft_bound(1e-3, in_features // 2, 2, share)
        torch.testing.assert_close(skew_norm(packed), torch.full((len(packed),), bound)), name


def test_coft_leaves_the_inside_alone(mlp: Mlp, turn: Turn) -> None:
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=2, coft=True, eps=10.0))
    turn(adapter)
    before = [packed.detach().clone() for packed in adapter.adapter_parameters()]
    adapter.project()
    assert all(map(torch.equal, adapter.adapter_parameters(), before))


def test_coft_refuses_parameters_outside_its_bound(mlp: Mlp, x: Tensor) -> None:
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=2, coft=True, eps=1e-3))
    with torch.no_grad():
        adapter.adapter_parameters()[0].add_(1.0)
    with pytest.raises(RuntimeError, match=r"times that norm; call project\(\)"):
        mlp(x)
    adapter.project()
    mlp(x)


def test_a_copy_trains_on_its_own(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    expected = mlp(x)
    twin = copy.deepcopy(mlp)
    assert torch.equal(twin(x), expected)
    assert isinstance(twin.oft_adapter, OFTAdapter) and twin.oft_adapter is not adapter
    optimizer = torch.optim.SGD(twin.oft_adapter.adapter_parameters(), lr=0.1, fused=True)
    twin(x).square().sum().backward()
    optimizer.step()
    assert not torch.allclose(twin(x), expected)
    assert torch.equal(mlp(x), expected)


def test_a_model_with_an_adapter_can_be_pickled(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    # Data-parallel launchers send models to their workers this way.
    turn(inject_oft(mlp, CONFIG))
    expected = mlp(x)
    buffer = io.BytesIO()
    torch.save(mlp, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(x), expected)


def test_a_sequential_model_can_be_adapted(generator: torch.Generator) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))
    x = torch.randn(3, 8, generator=generator)
    expected = model(x)
    inject_oft(model, OFTConfig(("0", "2"), num_blocks=2))
    assert torch.equal(model(x), expected)


def test_half_precision_bases_keep_float32_rotations(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    mlp.to(torch.bfloat16)
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    assert {packed.dtype for packed in adapter.adapter_parameters()} == {torch.float32}
    assert adapter.orthogonality_error() <= 1e-6
    output = mlp(x.bfloat16())
    output.float().square().sum().backward()
    assert output.dtype == torch.bfloat16
    gradients = [packed.grad.clone() for packed in adapter.adapter_parameters() if packed.grad is not None]
    adapter.zero_grad()
    mlp.float()
    exact = mlp(x)
    exact.square().sum().backward()
    torch.testing.assert_close(output.float(), exact, atol=0.05, rtol=0.05)
    for packed, grad in zip(adapter.adapter_parameters(), gradients, strict=True):
        assert packed.grad is not None
        assert (packed.grad - grad).norm() < 0.05 * grad.norm()


@pytest.mark.parametrize("tokens", [FEW, MANY])
def test_autocast_computes_in_its_type_from_exact_rotations(
    mlp: Mlp, x: Tensor, turn: Turn, tokens: int
) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    exact = mlp(x[:tokens])
    exact.square().sum().backward()
    gradients = [packed.grad.clone() for packed in adapter.adapter_parameters() if packed.grad is not None]
    adapter.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mlp.to_q(x[:tokens]).dtype == torch.bfloat16
        output = mlp(x[:tokens])
    output.float().square().sum().backward()
    torch.testing.assert_close(output.float(), exact, atol=0.05, rtol=0.05)
    for packed, grad in zip(adapter.adapter_parameters(), gradients, strict=True):
        assert packed.grad is not None
        assert (packed.grad - grad).norm() < 0.05 * grad.norm()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"exactly one of num_blocks \(None\) and block_size \(None\)"),
        ({"num_blocks": 2, "block_size": 4}, r"exactly one of num_blocks \(2\) and block_size \(4\)"),
        ({"num_blocks": 0}, "num_blocks must be at least 1, got 0"),
        ({"block_size": 1}, "block_size must be at least 2"),
        ({"num_blocks": 2, "coft": True, "eps": 0.0}, "eps must be positive for coft, got 0.0"),
        ({"num_blocks": 2, "target_modules": ()}, "non-empty tuple"),
        ({"num_blocks": 2, "target_modules": ""}, "non-empty tuple"),
        ({"num_blocks": 2, "dropout": 1.0}, "dropout must be a probability below 1, got 1.0"),
        ({"num_blocks": 2, "application": "output"}, "application must be one of auto, weight, input"),
        ({"num_blocks": 2, "eps_convention": "ours"}, "eps_convention must be one of reference, peft"),
        (
            {"num_blocks": 2, "parameter_scale": "b"},
            "parameter_scale must be one of none, block_size, got 'b'",
        ),
    ],
)
def test_a_config_that_breaks_a_rule_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        OFTConfig(**{"target_modules": MLP_TARGETS, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_blocks": 3}, r"num_blocks \(3\) .* \(16\) of 'to_q' .*; divisors near it: 1, 2, 4"),
        ({"num_blocks": 16}, r"num_blocks \(16\) .* \(16\) of 'to_q' .*; divisors near it: 2, 4, 8"),
        ({"block_size": 16}, r"block_size \(16\) .* \(24\) of 'to_out.0' .*; divisors near it: 8, 12, 24"),
    ],
)
def test_blocks_that_do_not_fit_are_refused_with_the_divisors_near(
    mlp: Mlp, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        inject_oft(mlp, OFTConfig(MLP_TARGETS, **options))
    assert type(mlp.to_q) is nn.Linear and mlp.head.weight.requires_grad


def test_a_second_adapter_is_refused(mlp: Mlp) -> None:
    inject_oft(mlp, CONFIG)
    with pytest.raises(ParamsError, match="one oft_adapter at a time"):
        inject_oft(mlp, CONFIG)


def test_parameters_of_another_model_are_refused(mlp: Mlp) -> None:
    adapter = inject_oft(mlp, CONFIG)
    with pytest.raises(CheckpointError, match=r"1 missing: to_out\.0"):
        adapter.load_packed({"to_q": torch.zeros(2, 28)})


def test_the_number_of_parameters_is_the_papers_formula(mlp: Mlp) -> None:
    for num_blocks in (1, 2, 4):
        adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=num_blocks))
        sizes = [16 // num_blocks, 24 // num_blocks]
        assert adapter.num_parameters == sum(num_blocks * math.comb(size, 2) for size in sizes)
        adapter.remove()


@pytest.mark.parametrize("application", ["weight", "input"])
@pytest.mark.parametrize("tokens", [2, 40])
def test_every_application_is_the_same_function(
    mlp: Mlp, turn: Turn, application: Any, tokens: int, generator: torch.Generator
) -> None:
    x = torch.randn(tokens, 16, generator=generator)
    plain = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=2, application=application))
    turn(adapter)
    packed = {name: value.detach() for name, value in adapter.named_packed()}
    torch.testing.assert_close(mlp(x), naive_forward(plain, packed, x))


def _noting(what: str, turned: list[str]) -> Callable[..., Tensor]:
    original: Callable[..., Tensor] = getattr(rotation, f"rotate_{what}")

    def noting(*arguments: Any) -> Tensor:
        turned.append(what)
        return original(*arguments)

    return noting


def test_forcing_an_application_forces_it(mlp: Mlp, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    turned: list[str] = []
    for what in ("input", "weight"):
        monkeypatch.setattr(layers, f"rotate_{what}", _noting(what, turned))
    for application in ("weight", "input"):
        adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=2, application=application))
        with torch.no_grad():
            mlp(x)
        assert set(turned) == {application}
        turned.clear()
        adapter.remove()


DROPPING = OFTConfig(MLP_TARGETS, num_blocks=4, dropout=0.5)


def dropped(adapter: OFTAdapter) -> Tensor:
    """Which blocks are the identity, over all layers."""
    one = {name: torch.eye(r.shape[-1]) for name, r in adapter.rotations().items()}
    return torch.cat([(r == one[name]).all((1, 2)) for name, r in adapter.rotations().items()])


def test_dropout_leaves_whole_blocks_out_of_a_step(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    adapter = inject_oft(mlp, DROPPING)
    turn(adapter)
    optimizer = torch.optim.SGD(adapter.adapter_parameters(), lr=0.01)
    seen = []
    for _ in range(200):
        before = dropped(adapter)
        mlp(x).square().mean().backward()
        mlp(x).square().mean().backward()
        assert torch.equal(dropped(adapter), before)  # micro-batches of one step see the same blocks
        rows = torch.cat([p.grad.abs().sum(1) for p in adapter.adapter_parameters() if p.grad is not None])
        assert torch.equal(rows == 0, before)
        optimizer.step()
        optimizer.zero_grad()
        seen.append(before)
    share = torch.stack(seen).double().mean(0)
    assert ((share > 0.35) & (share < 0.65)).all()  # four standard deviations of 200 tosses
    assert len({tuple(row.tolist()) for row in seen}) > 50


@pytest.mark.parametrize("reentrant", [False, True])
def test_dropout_is_the_same_in_recomputed_checkpoints(
    mlp: Mlp, x: Tensor, turn: Turn, reentrant: bool
) -> None:
    adapter = inject_oft(mlp, DROPPING)
    turn(adapter)
    gradients = []
    leaf = x.clone().requires_grad_()
    for checkpointed in (False, True):
        adapter.seed_dropout(5)
        output = checkpoint(mlp, leaf, use_reentrant=reentrant) if checkpointed else mlp(leaf)
        assert isinstance(output, Tensor)
        output.square().mean().backward()
        gradients.append([packed.grad for packed in adapter.adapter_parameters()])
        for packed in adapter.adapter_parameters():
            packed.grad = None
    torch.testing.assert_close(gradients[0], gradients[1])


def test_nothing_is_dropped_in_evaluation_or_merged(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    plain = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, DROPPING)
    turn(adapter)
    packed = {name: value.detach() for name, value in adapter.named_packed()}
    whole = naive_forward(plain, packed, x)
    assert dropped(adapter).any() and not torch.allclose(mlp(x), whole)
    with adapter.merging():
        torch.testing.assert_close(mlp(x), whole)
    adapter.eval()
    assert not dropped(adapter).any()
    torch.testing.assert_close(mlp(x), whole)
    adapter.train()
    assert dropped(adapter).any()


def test_pefts_eps_is_the_references_times_the_squared_block_size(mlp: Mlp, turn: Turn) -> None:
    reference = inject_oft(mlp, OFTConfig(("to_q",), block_size=8, coft=True, eps=1e-3), "reference")
    peft = inject_oft(
        mlp, OFTConfig(("to_q",), block_size=8, coft=True, eps=0.064, eps_convention="peft"), "peft"
    )
    for adapter in (reference, peft):
        turn(adapter)
        (packed,) = adapter.adapter_parameters()
        torch.testing.assert_close(skew_norm(packed), torch.full((2,), 1e-3 * 64 / math.sqrt(2)))


def test_layers_that_read_one_tensor_share_its_copy_under_autocast(generator: torch.Generator) -> None:
    heads = nn.ModuleDict({name: nn.Linear(16, 16) for name in "qkv"})
    adapter = inject_oft(heads, OFTConfig(tuple("qkv"), num_blocks=2))
    leaf = torch.randn(4, 16, generator=generator, requires_grad=True)
    x = leaf * 1.0
    saved: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        if tensor.shape == x.shape:
            saved.append(tensor.data_ptr())
        return tensor

    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        outputs = [head(x) for head in heads.values()]
    assert len(saved) == 3 and len(set(saved)) == 1
    torch.stack(outputs).float().sum().backward()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        copied = [head(x) for head in heads.values()]
    torch.testing.assert_close(copied, [output.detach() for output in outputs])
    assert leaf.grad is not None and all(packed.grad is not None for packed in adapter.adapter_parameters())


def test_a_changed_tensor_gets_a_new_copy_under_autocast(generator: torch.Generator) -> None:
    head = nn.ModuleDict({"q": nn.Linear(16, 16)})
    inject_oft(head, OFTConfig(("q",), num_blocks=2))
    x = torch.randn(4, 16, generator=generator, requires_grad=True) * 1.0
    with torch.autocast("cpu", torch.bfloat16):
        before = head["q"](x)
        x.mul_(2)
        assert not torch.equal(head["q"](x), before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_autocast_works_without_gradients_first(
    mlp: Mlp, turn: Turn, mode: Any, generator: torch.Generator
) -> None:
    turn(inject_oft(mlp, CONFIG))
    with mode(), torch.autocast("cpu", torch.bfloat16):
        x = torch.randn(4, 16, generator=generator)
        expected = mlp(x)
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        output = mlp(x)
    torch.testing.assert_close(output.detach(), expected.clone())
    output.float().sum().backward()
    assert x.grad is not None and x.grad.any()


def test_copies_under_autocast_live_no_longer_than_their_tensors(
    mlp: Mlp, generator: torch.Generator
) -> None:
    inject_oft(mlp, CONFIG)
    for _ in range(3):
        x = torch.randn(4, 16, generator=generator, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            mlp(x).float().sum().backward()
    del x
    gc.collect()
    assert len(layers._LOWERED) == 0


def test_merging_under_autocast_or_inference_mode_is_precise(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    adapter.merge()
    expected = mlp.to_q.weight.clone()
    adapter.unmerge()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        adapter.merge()
    assert torch.equal(mlp.to_q.weight, expected)
    leaf = x.clone().requires_grad_()
    mlp(leaf).sum().backward()
    assert leaf.grad is not None


def test_a_merged_adapter_computes_and_keeps_no_rotations(
    mlp: Mlp, x: Tensor, turn: Turn, cayley_calls: list[int]
) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    expected = mlp(x)
    adapter.merge()
    cayley_calls.clear()
    torch.testing.assert_close(mlp(x), expected)
    assert not adapter._cache and not cayley_calls
    adapter.unmerge()
    assert torch.equal(mlp(x), expected) and cayley_calls


def test_a_merge_that_fails_leaves_the_adapter_unmerged(mlp: Mlp, x: Tensor) -> None:
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=2, coft=True, eps=1e-6))
    for packed in adapter.adapter_parameters():
        packed.data.fill_(0.1)
    with pytest.raises(RuntimeError, match="COFT keeps"), adapter.merging():
        pass
    assert not adapter.merged


def test_coft_trains_in_half_precision(mlp: Mlp, x: Tensor) -> None:
    mlp.bfloat16()
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, block_size=2, coft=True, eps=1e-3))
    mlp.bfloat16()  # the adapter too
    optimizer = torch.optim.SGD(adapter.adapter_parameters(), lr=10.0)
    for _ in range(3):
        mlp(x.bfloat16()).float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert mlp(x.bfloat16()).isfinite().all()


def test_training_something_else_beside_a_merged_adapter(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    adapter.merge()
    mlp.head.requires_grad_(True)
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    before = mlp.head.weight.detach().clone()
    mlp(x).square().mean().backward()
    optimizer.step()
    assert not torch.equal(mlp.head.weight, before)


def test_a_frozen_adapter_drops_nothing(mlp: Mlp, turn: Turn) -> None:
    frozen = inject_oft(mlp, DROPPING, "frozen")
    turn(frozen)
    inject_oft(mlp, CONFIG)
    assert frozen.training and not dropped(frozen).any()


def test_seeding_dropout_repeats_it_whatever_came_before(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    adapter = inject_oft(mlp, DROPPING)
    turn(adapter)
    adapter.seed_dropout(3)
    first = dropped(adapter)
    with adapter.merging():
        mlp(x)
    mlp(x)
    adapter.seed_dropout(3)
    assert torch.equal(dropped(adapter), first)


# Dynamo looks at every input tensor's .grad, and a rotation's is not kept.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_code_is_one_graph_and_follows_training(
    mlp: Mlp, x: Tensor, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jaxtyping import config
    from torch._dynamo.testing import CompileCounterWithBackend

    monkeypatch.setattr(config, "jaxtyping_disable", True)  # the checks of tests/shapes.py break the graph

    adapter = inject_oft(mlp, CONFIG)
    turn(adapter)
    twin = copy.deepcopy(mlp)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(twin, backend=counter)
    assert isinstance(twin.oft_adapter, OFTAdapter)
    pairs: list[tuple[Any, list[nn.Parameter]]]
    pairs = [(mlp, adapter.adapter_parameters()), (compiled, twin.oft_adapter.adapter_parameters())]
    optimizers = [torch.optim.AdamW(parameters, lr=0.05) for _, parameters in pairs]
    losses = []
    for _ in range(3):
        step = []
        for (model, _), optimizer in zip(pairs, optimizers, strict=True):
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step.append(loss.detach())
        losses.append(step)
    for ours, compiled_loss in losses:
        torch.testing.assert_close(ours, compiled_loss)
    assert losses[0][0] != losses[2][0]
    assert counter.frame_count == 1
