"""`oft generate`: the pipeline's own pictures again from their seeds, and what the options do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from oft.cli import app
from oft.errors import ParamsError, UserError
from oft.generation.png import read_settings
from oft.models.base import load_base
from oft.params import Params, load_params
from oft.sampling import generate, plan
from oft.seeding import generator_for
from oft.shards.shards import encode_condition
from tests.adapters import Saver
from tests.conftest import ROOT, SIZE_PX

PROMPTS = {"a": "a red house", "b": "a boat"}


@pytest.fixture
def place(base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's root with a base and short sampling; the working directory."""
    root = tmp_path / "root"
    (root / "data/models").mkdir(parents=True)
    (root / "data/models/base").symlink_to(base_folder)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    short = text.replace("num_inference_steps: 12", "num_inference_steps: 3").replace(
        "\n  batch_size: 32\n  # How much", "\n  batch_size: 2\n  # How much"
    )
    (root / "params.yaml").write_text(short, encoding="utf-8")
    monkeypatch.chdir(root)
    assert load_params().sample.batch_size == 2
    return root


def oft(*arguments: object) -> list[str]:
    outcome = CliRunner().invoke(
        app, ["generate", *(str(argument) for argument in arguments)], catch_exceptions=False
    )
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout.splitlines()


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def condition(number: int) -> np.ndarray:
    noise = generator_for("condition", number)
    import torch

    return torch.randint(0, 256, (SIZE_PX, SIZE_PX, 3), generator=noise, dtype=torch.uint8).numpy()


@pytest.mark.parametrize("with_condition", [False, True])
@pytest.mark.parametrize("name", ["oft", "lora"])
def test_a_picture_of_the_pipeline_comes_again_from_its_seed(
    place: Path,
    base_folder: Path,
    saved: Saver,
    name: str,
    with_condition: bool,
) -> None:
    from oft.models.adapted import load_adapter_onto
    from oft.models.device import make_deterministic

    make_deterministic()  # as every stage does: sums depend on the number of threads
    folder = saved(name, with_condition=with_condition)
    settings, base = load_params().sample, load_base(base_folder)
    adapter = load_adapter_onto(base, folder)
    adapter.merge()  # as stages.sample does
    shown = {key: condition(place) for place, key in enumerate(PROMPTS)}
    conditions = {key: encode_condition(image) for key, image in shown.items()} if with_condition else None
    drawn = generate(base, adapter, plan(PROMPTS, 1, seed=0), conditions, settings, SIZE_PX)
    for request, expected in drawn:
        arguments: list[object] = [request.prompt, "--adapter", folder, "--seed", request.seed]
        if with_condition:
            Image.fromarray(shown[request.key]).save(place / "shown.png")
            arguments += ["--condition", place / "shown.png"]
        made = oft(*arguments, "--batch-size", settings.batch_size)[0]
        assert np.array_equal(pixels(made), expected)


def test_a_picture_says_how_it_was_drawn(place: Path, saved: Saver) -> None:
    folder = saved("oft")
    made = oft(
        "a red house", "--adapter", f"{folder}:0.5", "--seed", 3, "--steps", 2, "--negative-prompt", "x"
    )
    settings = read_settings(Path(made[0]))
    assert (settings["prompt"], settings["negative_prompt"]) == ("a red house", "x")
    assert (settings["seed"], settings["num_inference_steps"]) == (3, 2)
    assert settings["adapters"] == [{"path": str(folder), "kind": "oft", "strength": 0.5}]
    outcome = CliRunner().invoke(app, ["info", made[0], "--json"], catch_exceptions=False)
    assert json.loads(outcome.stdout) == settings
    again = oft(
        "a red house", "--adapter", f"{folder}:0.5", "--seed", 3, "--steps", 2, "--negative-prompt", "x"
    )
    assert (place / again[0]).read_bytes() == (place / made[0]).read_bytes()
    assert again[0] != made[0]


def test_strengths_are_drawn_side_by_side(place: Path, saved: Saver) -> None:
    *pictures, sheet = oft("a house", "--adapter", saved("oft"), "--strength", "0,0.5,1")
    assert [Path(name).name for name in pictures] == [
        f"00-a-house-0-strength-{strength}.png" for strength in ("0", "0.5", "1")
    ]
    assert Path(sheet).name == "00-sheet.png"
    none, half, whole = (pixels(name).astype(int) for name in pictures)
    assert np.array_equal(none, pixels(oft("a house")[0]))
    assert 0 < np.abs(half - none).mean() < np.abs(whole - none).mean()


def test_prompts_come_from_a_file_and_pictures_of_each_from_counting_seeds(place: Path) -> None:
    (place / "prompts.txt").write_text("a house\na boat\n", encoding="utf-8")
    *pictures, _ = oft("--prompts", place / "prompts.txt", "-n", 2, "--seed", 5)
    found = [(read_settings(Path(name))["prompt"], read_settings(Path(name))["seed"]) for name in pictures]
    assert found == [("a house", 5), ("a house", 6), ("a boat", 5), ("a boat", 6)]


def test_pictures_are_drawn_over_and_inside_a_mask(place: Path) -> None:
    original = condition(0)
    Image.fromarray(original).save(place / "photo.png")
    mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    mask[:, SIZE_PX // 2 :] = 255
    Image.fromarray(mask).save(place / "mask.png")
    made, _ = oft("a house", "--image", place / "photo.png", "--noise", 0.6, "--mask", place / "mask.png")
    changed = (pixels(made) != original).any(axis=2)
    assert not changed[:, : SIZE_PX // 2].any()
    assert changed[:, SIZE_PX // 2 :].mean() > 0.5
    assert read_settings(Path(made))["noise"] == 0.6


def test_a_condition_is_made_of_a_photograph(place: Path, params: Params, saved: Saver) -> None:
    from oft.conditions.canny import extract_canny

    Image.fromarray(condition(1)).save(place / "photo.png")
    edges = extract_canny(condition(1), **params.conditions.canny.model_dump())
    Image.fromarray(edges).save(place / "edges.png")
    adapter = ["--adapter", saved("hint", with_condition=True)]
    photo = oft("a house", *adapter, "--condition", place / "photo.png", "--extract", "canny")[0]
    ready = oft("a house", *adapter, "--condition", place / "edges.png")[0]
    assert np.array_equal(pixels(photo), pixels(ready))


def test_a_dry_run_draws_nothing(place: Path) -> None:
    assert oft("a house", "a boat", "--dry-run") == ["00-a-house: a house", "01-a-boat: a boat"]
    assert not (place / "pictures").exists()


def test_it_needs_no_repository(base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base_folder, tmp_path / "base")
    made = oft("a house", "--base", "base", "--steps", 2)[0]
    assert pixels(made).shape == (SIZE_PX, SIZE_PX, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to draw"),
        (["a", "--noise", "0.5"], "--noise .* needs --image"),
        (["a", "--extract", "canny"], "--extract .* needs --condition"),
        (["a", "--strength", "half"], r"--strength \(half\)"),
        (["a", "--strength", "0,1"], "there is none"),
        (["a", "--guidance", "0"], "guidance_scale"),
        (["a", "--scheduler", "euler_b"], "euler_a"),
        (["a", "--size", "65"], "multiple"),
        (["a", "--adapter", "nowhere"], "nowhere"),
        (["a", "--base", "nowhere"], "nowhere"),
        (["a", "--condition", "shown.png"], "none of the adapters takes"),
        (["a", "--condition", "absent.png"], "absent.png"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(place: Path, arguments: list[str], message: str) -> None:
    Image.fromarray(condition(0)).save(place / "shown.png")
    with pytest.raises(UserError, match=message):
        oft(*arguments)
    assert not list(place.glob("pictures/*"))


def test_an_adapter_that_takes_a_condition_wants_one(place: Path, saved: Saver) -> None:
    with pytest.raises(ParamsError, match="--condition"):
        oft("a house", "--adapter", saved("oft", with_condition=True))
