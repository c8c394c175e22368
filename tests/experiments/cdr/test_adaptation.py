"""Adapters on a network: at the identity first, differentiable twice and once more, rotations to the end."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from experiments.cdr.adaptation import count_trained, new_network, put_arm
from experiments.cdr.network import PINN
from experiments.cdr.protocol import ARMS, REPORTED, SCRATCH, Protocol
from experiments.cdr.training import Schedule, draw_points, physics_loss, train_steps

SMALL = Protocol(width=16, num_hidden=2, num_points=16, num_initial=4)
ADAPTERS = [arm for arm in ARMS if arm not in ("none", SCRATCH, "full")]
TRAINED = [arm for arm in ARMS if arm != "none"]


@pytest.fixture(scope="module")
def pretrained() -> dict[str, Tensor]:
    """Weights of a network; which ones does not matter here."""
    return dict(new_network(SMALL, 0).state_dict())


def points(number: int = 20) -> Tensor:
    """Return points of the domain, the last four at t = 0."""
    return draw_points(number - 4, 4, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != SCRATCH])
def test_an_arm_starts_as_the_pretrained_network(arm: str, pretrained: dict[str, Tensor]) -> None:
    expected = new_network(SMALL, 1)
    expected.load_state_dict(pretrained)
    network, _ = put_arm(arm, SMALL, 0, pretrained)
    with torch.no_grad():
        torch.testing.assert_close(network(points()), expected(points()), rtol=0, atol=1e-6)


def test_scratch_starts_from_weights_of_its_own(pretrained: dict[str, Tensor]) -> None:
    network, _ = put_arm(SCRATCH, SMALL, 0, pretrained)
    assert not torch.equal(network.first.weight, pretrained["first.weight"])


@pytest.mark.parametrize("arm", TRAINED)
def test_the_losss_gradient_is_its_slope(arm: str, pretrained: dict[str, Tensor]) -> None:
    """Central differences of the loss, u_xx in it, along random directions: away from the identity too."""
    network, adapter = put_arm(arm, SMALL, 0, pretrained)
    assert adapter is not None
    network.double()
    generator = torch.Generator().manual_seed(1)
    values = list(adapter.trained_parameters().values())
    at = points().double()

    def move(directions: list[Tensor], length: float) -> None:
        with torch.no_grad():
            for value, direction in zip(values, directions, strict=True):
                value.add_(direction, alpha=length)

    def random_directions() -> list[Tensor]:
        return [torch.randn(value.shape, generator=generator).to(value) for value in values]

    move(random_directions(), 1e-5 if arm == "coft" else 0.05)  # within COFT's bound
    loss = physics_loss(network, REPORTED[0], at, 4)
    gradients = torch.autograd.grad(loss, values)
    directions = random_directions()
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    step = 1e-5
    losses = []
    for length in (step, -2 * step):
        move(directions, length)
        losses.append(physics_loss(network, REPORTED[0], at, 4).item())
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("arm", ADAPTERS)
def test_an_adapter_learns_and_changes_hidden_matrices_alone(arm: str, pretrained: dict[str, Tensor]) -> None:
    network, adapter = put_arm(arm, SMALL, 0, pretrained)
    assert adapter is not None
    assert 0 < count_trained(adapter) < sum(value.numel() for value in pretrained.values())
    before = physics_loss(network, REPORTED[0], points(200), 4).item()
    schedule = Schedule(3e-3, 25, SMALL.num_points, SMALL.num_initial)
    assert list(train_steps(network, REPORTED[0], adapter, schedule, 0)) == list(range(1, 26))
    assert physics_loss(network, REPORTED[0], points(200), 4).item() < before
    error = adapter.orthogonality_error()
    assert (error is not None and error < 1e-6) == (arm in ("oft", "coft"))
    merged = _merged(network, adapter.merged_values())
    with torch.no_grad():
        torch.testing.assert_close(merged(points()), network(points()), rtol=0, atol=1e-5)
    changed = {
        name for name, value in merged.state_dict().items() if not torch.equal(value, pretrained[name])
    }
    assert changed == {f"{name}.weight" for name in network.hidden_names()}


def _merged(network: PINN, values: dict[str, Tensor]) -> PINN:
    """Return a plain network of the weights that merging gives; what it leaves alone is the network's own."""
    plain = new_network(SMALL, 0)
    kept = {name: value for name, value in network.state_dict().items() if name in plain.state_dict()}
    plain.load_state_dict({**plain.state_dict(), **kept, **values})
    return plain
