from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from oft.adapters.oft import rotation
from oft.adapters.oft.rotation import (
    cayley,
    coft_bound,
    orthogonality_error,
    packed_from_skew,
    parameter_scale,
    project_skew,
    rotate_input,
    rotate_weight,
    rotation_gradient,
    scale_packed,
    skew_from_packed,
    skew_norm,
    unscale_packed,
)

# The blocks of Stable Diffusion's layers, and an odd size that halves unevenly.
SIZES_AND_STDS = [(size, std) for size in (16, 32, 80, 93, 160, 320, 640) for std in (0.01, 0.1, 0.5)]


def random_packed(generator: torch.Generator, blocks: int, size: int, std: float = 0.2) -> Tensor:
    return torch.randn(blocks, size * (size - 1) // 2, generator=generator) * std


def test_packing_is_the_upper_triangle_row_by_row() -> None:
    skew = skew_from_packed(torch.tensor([1.0, 2.0, 3.0]))
    assert skew.tolist() == [[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]


def test_packing_round_trip(generator: torch.Generator) -> None:
    packed = random_packed(generator, 3, 7)
    assert torch.equal(packed_from_skew(skew_from_packed(packed)), packed)


@pytest.mark.parametrize("block_size", [2, 7, 24, 32, 45, 320])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_scaled_comes_back_to_the_bit(
    generator: torch.Generator, block_size: int, dtype: torch.dtype
) -> None:
    scale = parameter_scale(block_size, "block_size")
    scaled = scale_packed(random_packed(generator, 40, 24).to(dtype), scale)
    assert torch.equal(scale_packed(unscale_packed(scaled, scale), scale), scaled)


def test_half_precision_values_are_unscaled_in_single() -> None:
    assert torch.equal(unscale_packed(torch.ones(1, dtype=torch.bfloat16), 3.0), torch.tensor([1 / 3]))


def test_blocks_of_pefts_default_size_have_the_scale_one() -> None:
    assert parameter_scale(32, "block_size") == 1
    assert parameter_scale(8, "block_size") == 4 and parameter_scale(128, "block_size") == 0.25
    assert parameter_scale(8, "none") == 1


@pytest.mark.parametrize("length", [0, 2, 5])
def test_a_length_that_is_no_triangle_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=rf"got {length}"):
        skew_from_packed(torch.zeros(length))


@pytest.mark.parametrize(("size", "std"), SIZES_AND_STDS)
def test_cayley_is_orthogonal(size: int, std: float, generator: torch.Generator) -> None:
    skew = skew_from_packed(random_packed(generator, 3, size, std))
    assert orthogonality_error(cayley(skew)) <= 1e-6


@pytest.mark.parametrize(("size", "std"), SIZES_AND_STDS)
def test_cayley_in_float32_is_orthogonal_and_exact(size: int, std: float, generator: torch.Generator) -> None:
    # The path of devices whose float64 is slow, run on the CPU.
    skew = skew_from_packed(random_packed(generator, 3, size, std))
    rotations = rotation._cayley(skew, torch.float32)
    assert orthogonality_error(rotations) <= 1e-6
    torch.testing.assert_close(rotations, cayley(skew), atol=3e-6, rtol=0)


@pytest.mark.parametrize(("size", "std"), SIZES_AND_STDS)
def test_cayley_is_that_of_a_general_float64_solver(
    size: int, std: float, generator: torch.Generator
) -> None:
    skew = skew_from_packed(random_packed(generator, 2, size, std))
    one = torch.eye(size, dtype=torch.float64)
    expected = torch.linalg.solve((one + skew).mT, (one - skew).mT).mT
    torch.testing.assert_close(cayley(skew).double(), expected, atol=1e-6, rtol=0)


def test_cayley_of_zero_is_the_identity_to_the_bit() -> None:
    assert torch.equal(cayley(torch.zeros(2, 5, 5)), torch.eye(5).expand(2, 5, 5))


def test_cayley_has_no_reflection(generator: torch.Generator) -> None:
    determinants = torch.linalg.det(cayley(skew_from_packed(random_packed(generator, 4, 9, 2.0))).double())
    torch.testing.assert_close(determinants, torch.ones_like(determinants))


def test_closed_form_gradients(generator: torch.Generator) -> None:
    packed = random_packed(generator, 3, 5, 0.7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: cayley(skew_from_packed(p)), packed)
    assert torch.autograd.gradgradcheck(lambda p: cayley(skew_from_packed(scale_packed(p, 0.5))), packed)


def test_a_graph_of_gradients_leaves_the_first_gradients_as_they_are(generator: torch.Generator) -> None:
    packed = random_packed(generator, 3, 5, 0.7).requires_grad_()
    loss = cayley(skew_from_packed(packed)).pow(3).sum()
    (plain,) = torch.autograd.grad(loss, packed, retain_graph=True)
    (graphed,) = torch.autograd.grad(loss, packed, create_graph=True)
    assert torch.equal(plain, graphed) and graphed.requires_grad and not plain.requires_grad
    second = [torch.autograd.grad(graphed.square().sum(), packed, retain_graph=True)[0] for _ in range(2)]
    assert torch.equal(*second) and second[0].abs().max() > 0


def test_scaling_and_its_gradients(generator: torch.Generator) -> None:
    packed = random_packed(generator, 3, 5).double().requires_grad_()
    factors = torch.tensor([[0.0], [1.0], [-2.0]]).double()
    rotations = cayley(skew_from_packed(scale_packed(packed, factors)))
    assert torch.equal(rotations[0], torch.eye(5).double())
    torch.testing.assert_close(rotations[2], cayley(skew_from_packed(-2 * packed[2])))
    assert torch.autograd.gradcheck(lambda p: scale_packed(p, factors), packed)
    assert torch.autograd.gradcheck(lambda p: scale_packed(p, 0.5), packed)


def test_one_graph_serves_many_backward_passes(generator: torch.Generator) -> None:
    packed = random_packed(generator, 2, 6).requires_grad_()
    rotations = cayley(skew_from_packed(scale_packed(packed, 0.9)))
    rotations.pow(3).sum().backward()
    assert packed.grad is not None
    once = packed.grad.clone()
    rotations.pow(3).sum().backward()
    torch.testing.assert_close(packed.grad, 2 * once)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, generator: torch.Generator) -> None:
    packed = random_packed(generator, 2, 16).to(dtype).requires_grad_()
    rotations = cayley(skew_from_packed(packed))
    assert rotations.dtype == torch.float32
    assert torch.equal(rotations, cayley(skew_from_packed(packed.float())))
    rotations.sum().backward()
    assert packed.grad is not None and packed.grad.dtype == dtype


def test_autocast_does_not_lower_the_precision(generator: torch.Generator) -> None:
    packed = random_packed(generator, 2, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rotations = cayley(skew_from_packed(packed))
    assert torch.equal(rotations, cayley(skew_from_packed(packed)))


@pytest.mark.parametrize("stored", [1, 3])
def test_weight_side_is_input_side_is_the_dense_product(stored: int, generator: torch.Generator) -> None:
    rotations = cayley(skew_from_packed(random_packed(generator, stored, 4)))
    x, weight = torch.randn(2, 5, 12, generator=generator), torch.randn(7, 12, generator=generator)
    dense = torch.block_diag(*(rotations if stored == 3 else rotations.expand(3, 4, 4)))
    torch.testing.assert_close(rotate_input(x, rotations), x @ dense)
    torch.testing.assert_close(rotate_weight(weight, rotations), weight @ dense.T)
    torch.testing.assert_close(
        F.linear(rotate_input(x, rotations), weight), F.linear(x, rotate_weight(weight, rotations))
    )


def test_rotations_keep_the_neurons_lengths_and_angles(generator: torch.Generator) -> None:
    rotations = cayley(skew_from_packed(random_packed(generator, 4, 8, 0.5)))
    weight = torch.randn(20, 32, generator=generator)
    rotated = rotate_weight(weight, rotations)
    assert (rotated - weight).abs().max() > 0.1
    torch.testing.assert_close(rotated @ rotated.T, weight @ weight.T, atol=2e-5, rtol=0)


def test_a_half_precision_weight_is_rotated_in_float32(generator: torch.Generator) -> None:
    rotations = cayley(skew_from_packed(random_packed(generator, 2, 8)))
    weight = torch.randn(5, 16, generator=generator).bfloat16()
    expected = rotate_weight(weight.float(), rotations).bfloat16()
    assert torch.equal(rotate_weight(weight, rotations), expected)


@pytest.mark.parametrize("stored", [1, 3])
def test_rotation_gradient_is_autograds(stored: int, generator: torch.Generator) -> None:
    rotations = torch.randn(stored, 4, 4, generator=generator).requires_grad_()
    x, grad = torch.randn(2, 5, 12, generator=generator), torch.randn(2, 5, 12, generator=generator)
    (expected,) = torch.autograd.grad(rotate_input(x, rotations), rotations, grad)
    torch.testing.assert_close(rotation_gradient(x, grad, rotations), expected)


def test_blocks_that_do_not_make_up_the_input_are_refused() -> None:
    with pytest.raises(ValueError, match="2 blocks of 4 do not make up 16 features"):
        rotate_input(torch.zeros(3, 16), torch.zeros(2, 4, 4))


def test_coft_bound_is_the_references() -> None:
    assert coft_bound(1e-3, 32, 4, shared=False) == pytest.approx(1e-3 * 32**2 / 2)
    assert coft_bound(1e-3, 32, 4, shared=True) == pytest.approx(1e-3 * 32**2)


def test_skew_norm_is_the_frobenius_norm_of_the_matrix(generator: torch.Generator) -> None:
    packed = random_packed(generator, 3, 6)
    torch.testing.assert_close(skew_norm(packed), torch.linalg.matrix_norm(skew_from_packed(packed)))


def test_projection_leaves_the_inside_and_scales_the_outside_onto_the_bound(
    generator: torch.Generator,
) -> None:
    packed = random_packed(generator, 4, 6) * torch.tensor([[0.01], [0.1], [10.0], [0.0]])
    bound = 0.5 * math.sqrt(2)
    projected = project_skew(packed, bound)
    inside = skew_norm(packed) <= bound
    assert inside.tolist() == [True, True, False, True]
    assert torch.equal(projected[inside], packed[inside])
    torch.testing.assert_close(skew_norm(projected[2]), torch.tensor(bound))
    torch.testing.assert_close(F.normalize(projected[2], dim=0), F.normalize(packed[2], dim=0))
