"""The training loop: a resumed run equals an uninterrupted one, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from torch import nn

from oft.errors import TrainingError
from oft.params import Params
from oft.seeding import generator_for
from oft.settings.training import Training
from oft.training.checkpoint import FILE_NAME, load_state, run_key
from oft.training.loop import TrainingLoop, rate_factor

STEPS = 12
Rows = list[dict[str, float]]


@pytest.fixture
def settings(params: Params) -> Training:
    changes = {
        "max_train_steps": STEPS,
        "warmup_steps": 3,
        "checkpoint_every_steps": 5,
    }
    return params.train.model_copy(update=changes)


def train(
    settings: Training, scratch: Path, stop_at: int | None = None, num_parts: int = 1
) -> tuple[torch.Tensor, Rows, list[int]]:
    """Fit a line in micro-batches; ``stop_at`` breaks off in that step as a kill would."""
    weights = nn.Parameter(torch.zeros(3))

    def objective(step: int) -> Iterator[torch.Tensor]:
        inputs = torch.randn(16, 3, generator=generator_for("inputs", step))
        for part in inputs.chunk(num_parts):
            yield (part @ weights - part @ torch.tensor([1.0, -2.0, 0.5])).square().mean() / num_parts
            if step == stop_at:
                raise KeyboardInterrupt

    rows: Rows = []
    validated: list[int] = []
    loop = TrainingLoop(
        Accelerator(cpu=True), {"weights": weights}, objective, settings, scratch=scratch, name="line"
    )
    loop.run(rows.append, validated.append, validate_every_steps=4)
    return weights.detach(), rows, validated


def test_resumed_equals_uninterrupted(settings: Training, tmp_path: Path) -> None:
    whole, rows, validated = train(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "broken", stop_at=8)
    resumed, rows_resumed, validated_resumed = train(settings, tmp_path / "broken")
    assert torch.equal(whole, resumed)
    assert rows == rows_resumed
    assert validated == [4, 8, 12] and validated_resumed == [8, 12]


def test_micro_batches_add_up_to_a_step_resumed_or_not(settings: Training, tmp_path: Path) -> None:
    whole, rows, _ = train(settings, tmp_path / "whole")
    parts, rows_of_parts, _ = train(settings, tmp_path / "parts", num_parts=4)
    torch.testing.assert_close(parts, whole)
    assert [row["loss"] for row in rows_of_parts] == pytest.approx([row["loss"] for row in rows], abs=1e-5)
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "broken", stop_at=8, num_parts=4)
    assert torch.equal(train(settings, tmp_path / "broken", num_parts=4)[0], parts)


def test_a_run_ends_as_its_moving_average_resumed_or_not(settings: Training, tmp_path: Path) -> None:
    last, rows, _ = train(settings, tmp_path / "last")
    averaged = settings.model_copy(update={"ema_decay": 0.9})
    whole, rows_averaged, _ = train(averaged, tmp_path / "whole")
    assert rows == rows_averaged  # what is trained knows nothing of the average
    target = torch.tensor([1.0, -2.0, 0.5])
    assert (whole - target).norm() > (last - target).norm()  # it lags behind
    with pytest.raises(KeyboardInterrupt):
        train(averaged, tmp_path / "broken", stop_at=8)
    assert torch.equal(train(averaged, tmp_path / "broken")[0], whole)


def test_a_damaged_checkpoint_starts_over(settings: Training, tmp_path: Path) -> None:
    whole, _, _ = train(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "broken", stop_at=8)
    state = tmp_path / "broken" / FILE_NAME
    state.write_bytes(state.read_bytes()[:100])
    assert torch.equal(train(settings, tmp_path / "broken")[0], whole)


def test_a_checkpoint_is_never_unpickled_freely(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return marker.touch, ()  # type: ignore[return-value]

    torch.save(Attack(), tmp_path / FILE_NAME)
    assert load_state(tmp_path) is None
    assert not marker.exists()


SCHEDULES = ["constant", "linear", "polynomial", "cosine", "cosine_with_restarts"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_the_curve_is_diffusers(settings: Training, schedule: str, warmup_steps: int) -> None:
    """Parity with ``get_scheduler``, whose warm-up is the same but for a first step at rate 0."""
    changes = {
        "schedule": schedule, "warmup_steps": warmup_steps, "max_train_steps": 40, "learning_rate": 3e-6,
        "lr_power": 1.7, "lr_num_cycles": 3, "scale_lr": True,
    }  # fmt: skip
    settings = settings.model_copy(update=changes)

    def theirs(num_warmup_steps: int) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-6 * settings.batch_size)
        name = "constant_with_warmup" if schedule == "constant" else schedule
        scheduler = get_scheduler(
            name, optimizer, None, num_warmup_steps, 40, num_cycles=3, power=settings.lr_power
        )
        rates = []
        for _ in range(41):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return rates

    ours = [settings.peak_learning_rate * rate_factor(step, settings) for step in range(41)]
    assert ours[warmup_steps:] == pytest.approx(theirs(warmup_steps)[warmup_steps:], rel=1e-9, abs=1e-18)
    assert ours[:warmup_steps] == pytest.approx(theirs(warmup_steps + 1)[1 : warmup_steps + 1], rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_resumed_run_goes_on_along_its_curve(settings: Training, tmp_path: Path, schedule: str) -> None:
    changes = {"schedule": schedule, "lr_num_cycles": 2, "lr_power": 2.0, "adam_beta1": 0.5, "scale_lr": True}
    settings = settings.model_copy(update=changes)
    whole, rows, _ = train(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "broken", stop_at=8)
    resumed, rows_resumed, _ = train(settings, tmp_path / "broken")
    assert torch.equal(whole, resumed) and rows == rows_resumed
    assert torch.equal(whole, train(settings, tmp_path / "again")[0])


def test_a_scaled_rate_is_one_for_each_picture(settings: Training, tmp_path: Path) -> None:
    """Micro-batches are parts of the batch: they scale nothing."""
    scaled = settings.model_copy(update={"scale_lr": True, "learning_rate": 1e-3, "batch_size": 16})
    plain = settings.model_copy(update={"learning_rate": 1.6e-2, "batch_size": 16})
    weights, rows, _ = train(scaled, tmp_path / "scaled")
    assert torch.equal(weights, train(plain, tmp_path / "plain")[0])
    assert rows[-1]["learning_rate"] == plain.learning_rate * rate_factor(STEPS - 1, plain)
    parts = scaled.model_copy(update={"gradient_accumulation_steps": 4})
    assert parts.peak_learning_rate == scaled.peak_learning_rate == 1.6e-2


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_rises_in_equal_steps_to_its_peak(settings: Training, schedule: str) -> None:
    settings = settings.model_copy(update={"schedule": schedule, "warmup_steps": 4})
    assert [rate_factor(step, settings) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    at_once = settings.model_copy(update={"warmup_steps": 0})
    assert rate_factor(0, at_once) == 1.0


def test_the_rate_falls_along_half_a_cosine(settings: Training) -> None:
    """Twelve steps after the warm-up, so that each is 15 degrees: (1 + cos) / 2 is known at several."""
    settings = settings.model_copy(update={"schedule": "cosine", "warmup_steps": 3, "max_train_steps": 15})
    known = {
        0: 1.0, 2: 0.5 + 3**0.5 / 4, 3: 0.5 + 2**0.5 / 4, 4: 0.75, 6: 0.5, 8: 0.25, 9: 0.5 - 2**0.5 / 4,
        10: 0.5 - 3**0.5 / 4, 12: 0.0,
    }  # fmt: skip
    for fallen, expected in known.items():
        assert rate_factor(3 + fallen, settings) == pytest.approx(expected, abs=1e-12)
    constant = settings.model_copy(update={"schedule": "constant"})
    assert {rate_factor(step, constant) for step in range(3, 15)} == {1.0}


def test_every_step_is_as_long_as_its_rate_and_the_log_says_so(settings: Training, tmp_path: Path) -> None:
    """AdamW moves by its rate where the gradient stays the same (Kingma & Ba 2015, section 2.1)."""
    changes = {"schedule": "cosine", "warmup_steps": 2, "learning_rate": 0.1, "weight_decay": 0.0}
    settings = settings.model_copy(update=changes)
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    places: list[float] = []

    def objective(step: int) -> list[torch.Tensor]:
        places.append(float(weight.detach()))
        return [weight.sum()]

    loop = TrainingLoop(
        Accelerator(cpu=True), {"weight": weight}, objective, settings, scratch=tmp_path, name="line"
    )
    rows = loop.run(on_log=lambda row: None)
    places.append(float(weight.detach()))
    # Two steps of warm-up, then ten of 18 degrees: (1 + cos) / 2 of 0, 18, 36 ... 162.
    factors = [1 / 3, 2 / 3, 1.0, 0.9755282581, 0.9045084972, 0.7938926261, 0.6545084972, 0.5,
               0.3454915028, 0.2061073739, 0.0954915028, 0.0244717419]  # fmt: skip
    moved = [before - after for before, after in pairwise(places)]
    assert moved == pytest.approx([0.1 * factor for factor in factors], rel=1e-5)
    logged = {row["step"]: row["learning_rate"] for row in rows}
    assert logged == pytest.approx({10: 0.1 * factors[9], 12: 0.1 * factors[11]})


def test_averages_follow_every_step_from_the_first_and_are_what_is_validated(
    settings: Training, tmp_path: Path
) -> None:
    def train(ema_decay: float) -> tuple[list[float], list[float], float]:
        """Return the weight before each step, as it is validated after each, and as it ends."""
        weight = nn.Parameter(torch.zeros(1))
        trained: list[float] = []
        validated: list[float] = []

        def objective(step: int) -> list[torch.Tensor]:
            trained.append(float(weight.detach()))
            return [(weight - 1).square().sum()]

        changed = settings.model_copy(update={"max_train_steps": 4, "ema_decay": ema_decay})
        scratch = tmp_path / str(ema_decay)
        loop = TrainingLoop(
            Accelerator(cpu=True), {"weight": weight}, objective, changed, scratch=scratch, name="line"
        )
        loop.run(lambda row: None, lambda step: validated.append(float(weight.detach())))
        return trained, validated, float(weight.detach())

    trained, values, _ = train(0.0)
    trained_too, averages, last = train(0.999)
    assert trained_too == trained  # what is trained knows nothing of the average
    expected, average = [], 0.0
    for value, left in zip(values, [2 / 11, 3 / 12, 4 / 13, 5 / 14], strict=True):
        average = left * average + (1 - left) * value
        expected.append(average)
    assert averages == pytest.approx(expected, rel=1e-5)
    assert last == averages[-1]


def test_the_rate_rises_then_falls_to_zero(settings: Training) -> None:
    rates = [rate_factor(step, settings) for step in range(STEPS)]
    assert rates[0] > 0
    assert rates[:4] == sorted(rates[:4]) and rates[3] == 1.0
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rate_factor(STEPS, settings) == pytest.approx(0.0)
    constant = settings.model_copy(update={"schedule": "constant"})
    assert rate_factor(STEPS - 1, constant) == 1.0


def test_a_loss_that_is_no_number_ends_the_run(settings: Training, tmp_path: Path) -> None:
    weights = nn.Parameter(torch.zeros(1))
    loop = TrainingLoop(
        Accelerator(cpu=True), {"w": weights}, lambda step: [weights.sum() * float("nan")], settings,
        scratch=tmp_path, name="nan",
    )  # fmt: skip
    with pytest.raises(TrainingError, match="lower learning_rate"):
        loop.run(on_log=lambda row: None)


def test_a_run_is_named_by_settings_inputs_and_code(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    source, data = tmp_path / "code" / "a.py", tmp_path / "data"
    source.write_text("1")
    data.write_text("1")

    def key(rate: float = 1.0) -> str:
        return run_key({"rate": rate}, [data], [tmp_path / "code"])

    first = key()
    assert first == key() != key(2.0)
    data.write_text("2")
    assert key() != first
    data.write_text("1")
    source.write_text("2")
    assert key() != first
