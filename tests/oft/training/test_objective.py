"""The objective: identity at initialisation, randomness from the seed alone, prior preservation added."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.protocol import AdapterSettings
from oft.models.adapted import init_adapter, load_adapter_onto, save_with_base
from oft.models.base import Base, load_base
from oft.params import Params
from oft.seeding import generator_for
from oft.training.dataset import TrainingSet
from oft.training.objective import (
    Batch,
    Denoiser,
    TrainingSource,
    data_objective,
    denoising_losses,
    draw_batch,
    offset_noise,
    validation_loss,
)


def first_batch(base: Base, data: TrainingSet) -> Batch:
    """Four samples and no prompt dropped."""
    return draw_batch(base, data, data.load(np.arange(4)), 0.0, 0)


def test_a_batch_depends_on_its_seed_alone(base: Base, data: TrainingSet) -> None:
    loaded = data.load(np.array([3, 1]))
    first, again, other = (draw_batch(base, data, loaded, 0.5, 0, "t", step) for step in (4, 4, 5))
    assert torch.equal(first.noise, again.noise) and torch.equal(first.latents, again.latents)
    assert torch.equal(first.timesteps, again.timesteps)
    assert not torch.equal(first.noise, other.noise)


@pytest.mark.parametrize("name", ["oft", "hint"])
def test_an_adapter_at_identity_has_the_loss_of_the_base(
    base: Base, data: TrainingSet, params: Params, name: str
) -> None:
    batch = first_batch(base, data)
    assert batch.prompt_embeds is not None
    with torch.no_grad():
        without = base.unet(
            base.noise_scheduler.add_noise(batch.latents, batch.noise, batch.timesteps),
            batch.timesteps,
            batch.prompt_embeds.hidden_states,
        ).sample
        velocity = base.noise_scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
        expected = (without - velocity).square().flatten(1).mean(1).mean()
        adapter = init_adapter(base, params.adapters[name], with_condition=True, generator=generator_for(0))
        (adapted,) = denoising_losses(base, Denoiser(base.unet, adapter), [batch])
    assert float(adapted) == pytest.approx(float(expected), abs=1e-7)


def test_without_min_snr_every_timestep_counts_alike(base: Base, data: TrainingSet, params: Params) -> None:
    # Min-SNR's weight without a bound is 1 where noise is predicted, and not where velocity is.
    scheduler = base.noise_scheduler
    noise = type(scheduler).from_config(scheduler.config, prediction_type="epsilon")
    base = replace(base, noise_scheduler=noise)
    adapter = init_adapter(base, params.adapters["oft"], with_condition=True, generator=generator_for(0))
    denoiser = Denoiser(base.unet, adapter)
    batch = first_batch(base, data)
    with torch.no_grad():
        off, unbounded, low = (
            float(denoising_losses(base, denoiser, [batch], gamma)[0]) for gamma in (0.0, 1e9, 0.1)
        )
    assert off == pytest.approx(unbounded, rel=1e-5)
    assert low < off


def test_only_the_adapter_gets_gradients(base: Base, data: TrainingSet, params: Params) -> None:
    loaded = init_adapter(base, params.adapters["oft"], with_condition=True, generator=generator_for(0))
    trained = loaded.trained_parameters()
    (loss,) = denoising_losses(base, Denoiser(base.unet, loaded), [first_batch(base, data)])
    loss.backward()
    with_gradient = {id(p) for p in base.unet.parameters() if p.grad is not None}
    assert with_gradient <= {id(parameter) for parameter in trained.values()}
    # The last convolution of the hint encoder is zero, so at first only it and the rotations move.
    assert all(
        parameter.grad is not None for name, parameter in trained.items() if name.startswith("rotation")
    )
    assert not any(p.requires_grad for p in [*base.vae.parameters(), *base.text_encoder.parameters()])


def test_prior_preservation_adds_the_weighted_class_loss(
    base: Base, plain: TrainingSet, params: Params
) -> None:
    settings = params.train_subject.model_copy(update={"batch_size": 2})
    denoiser = Denoiser(base.unet)

    def loss(*sources: TrainingSource) -> float:
        with torch.no_grad():
            return float(sum(data_objective(base, denoiser, sources, settings, seed=0)(3)))

    instance, prior = loss(TrainingSource(plain, "instance")), loss(TrainingSource(plain, "class"))
    both = loss(TrainingSource(plain, "instance"), TrainingSource(plain, "class", weight=0.5))
    assert instance != prior
    assert both == pytest.approx(instance + 0.5 * prior, rel=1e-5)


def test_class_pictures_may_have_another_size(base: Base, plain: TrainingSet, params: Params) -> None:
    square = first_batch(base, plain)
    high = replace(square, latents=square.latents.repeat(1, 1, 2, 1), noise=square.noise.repeat(1, 1, 2, 1))
    denoiser = Denoiser(base.unet)
    with torch.no_grad():
        both = denoising_losses(base, denoiser, [high, square])
        apart = [denoising_losses(base, denoiser, [batch])[0] for batch in (high, square)]
    assert [float(loss) for loss in both] == [float(loss) for loss in apart]


def test_offset_noise_moves_whole_channels(base: Base, plain: TrainingSet) -> None:
    batch = first_batch(base, plain)
    one, again, other = (offset_noise(batch, 0.1, 0, step).noise - batch.noise for step in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    torch.testing.assert_close(one, one.mean((2, 3), keepdim=True).expand_as(one), rtol=0, atol=1e-6)
    assert one.mean((2, 3)).std() == pytest.approx(0.1, rel=0.5)


def test_the_validation_loss_is_fixed(base: Base, plain: TrainingSet) -> None:
    first, again = (validation_loss(base, Denoiser(base.unet), plain, 4, seed=1, rounds=1) for _ in range(2))
    assert first == again > 0


def test_objectives_of_two_names_see_other_batches(base: Base, plain: TrainingSet, params: Params) -> None:
    settings = params.train.model_copy(update={"batch_size": 2})
    denoiser = Denoiser(base.unet)
    with torch.no_grad():
        instance, again, other = (
            float(sum(data_objective(base, denoiser, [TrainingSource(plain, name)], settings, 0)(0)))
            for name in ("a", "a", "b")
        )
    assert instance == again != other


def test_workers_that_read_ahead_change_no_loss(
    base: Base, plain: TrainingSet, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = params.train.model_copy(update={"batch_size": 2})
    denoiser = Denoiser(base.unet)

    def losses() -> list[float]:
        objective = data_objective(base, denoiser, [TrainingSource(plain, "instance")], settings, seed=0)
        with torch.no_grad():
            trained = [float(sum(objective(step))) for step in (3, 4)]
        return [*trained, validation_loss(base, denoiser, plain, 3, seed=1, rounds=2)]

    alone = losses()
    monkeypatch.setattr("oft.training.objective.num_workers_beside", lambda *_: 2)
    assert losses() == alone


def store_and_load(
    base_folder: Path, settings: AdapterSettings, folder: Path
) -> tuple[OrthogonalAdapter, OrthogonalAdapter]:
    """Return an adapter moved away from the identity, and what is read of it once it is stored."""
    base = load_base(base_folder)
    stored = init_adapter(base, settings, with_condition=True, generator=generator_for(0))
    with torch.no_grad():
        for number, parameter in enumerate(stored.trained_parameters().values()):
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator_for(number)))
    save_with_base(folder, stored, base)
    read = load_adapter_onto(load_base(base_folder), folder)
    assert isinstance(stored, OrthogonalAdapter) and isinstance(read, OrthogonalAdapter)
    return stored, read


def test_a_stored_adapter_comes_back_as_it_was(base_folder: Path, params: Params, tmp_path: Path) -> None:
    plain = params.adapters["oft"].model_copy(update={"parameter_scale": "none"})
    stored, read = store_and_load(base_folder, plain, tmp_path)
    again = read.trained_parameters()
    for name, parameter in stored.trained_parameters().items():
        assert torch.equal(parameter, again[name])


def test_of_scaled_parameters_what_is_stored_comes_back_as_it_was(
    base_folder: Path, params: Params, tmp_path: Path
) -> None:
    """Two parameters can round to one entry of S; it is S that files and rotations are made of."""
    scaled = params.adapters["oft"].model_copy(update={"parameter_scale": "block_size"})
    stored, read = store_and_load(base_folder, scaled, tmp_path)
    again = dict(read.rotations.named_packed())
    for name, entries in stored.rotations.named_packed():
        assert torch.equal(entries, again[name])
    parameters = read.trained_parameters()
    for name, parameter in stored.trained_parameters().items():
        torch.testing.assert_close(parameter, parameters[name], rtol=3e-7, atol=0)
