"""`oft subject add`, `style add` and `control add`: params.yaml with its comments, unharmed by a mistake."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oft.cli import app
from oft.errors import UserError
from oft.params import load_params
from tests.conftest import ROOT


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_picture: Callable[..., Path]) -> Path:
    """A repository's root, and a folder of three pictures in it; the working directory."""
    root = tmp_path / "root"
    root.mkdir()
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copy(ROOT / "params.yaml", root)
    for number in range(3):
        save_picture(root / "Rex" / f"red dog {number}.png", number, 80, 64)
    monkeypatch.chdir(root)
    return root


def oft(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_a_subject_is_written_with_its_comments(place: Path) -> None:
    before = (place / "params.yaml").read_text(encoding="utf-8")
    said = oft("subject", "add", "Rex", "--class", "dog", "--steps", 7, "--adapters", "lora,oft")
    assert "subject_rex: 3 pictures of Rex; trains lora, oft, 7 steps" in said
    assert 'oft generate "a sks dog on the beach" --adapter runs/subject_rex/lora/magnitude' in said
    assert (place / "params.yaml.before").read_text(encoding="utf-8") == before
    after = (place / "params.yaml").read_text(encoding="utf-8")
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in after.splitlines() if line.startswith("#")] == comments
    params = load_params()
    assert params.trained_tasks == ["subject_rex"]
    assert params.subject_adapters == ["lora", "oft"]


def test_a_subject_has_no_splits(place: Path) -> None:
    for number in (0, 1):
        (place / "Rex" / f"red dog {number}.png").unlink()
    outcome = CliRunner().invoke(app, ["subject", "add", "Rex", "--class", "dog", "--dry-run"])
    assert outcome.stdout.startswith("subject_rex: 1 picture of Rex; ")
    assert outcome.stderr == ""


def test_a_style_holds_a_picture_out(place: Path) -> None:
    assert "style_rex: 2 pictures" in oft("style", "add", "Rex")
    assert load_params().style_tasks == ["style_rex"]


def test_a_template_is_a_caption_where_there_is_none(place: Path, save_picture: Callable[..., Path]) -> None:
    for number in range(3):
        save_picture(place / "prints" / f"{number}.png", number, 80, 64)
    with pytest.raises(UserError, match="caption_missing"):
        oft("style", "add", "prints")
    assert "style_prints: 2 pictures" in oft("style", "add", "prints", "--template", "woodcut")


def test_a_condition_is_learned_from_pictures(place: Path) -> None:
    said = oft("control", "add", "Rex", "--condition", "canny", "--name", "dogs", "--keep")
    assert "--condition PICTURE --extract canny" in said
    assert load_params().control_tasks[-1] == "canny_dogs"
    assert len(load_params().control_tasks) == 4


def test_another_base_brings_its_profile(place: Path, save_picture: Callable[..., Path]) -> None:
    save_picture(place / "large" / "dog.png", 0, 600, 600)
    (place / "model").mkdir()
    said = oft("subject", "add", "large", "--class", "dog", "--base", "model")
    assert "1000 steps of 1 at 512 px, on model" in said
    params = load_params()
    assert params.adapters["oft"].model_dump()["num_blocks"] == 4
    assert list(params.datasets) == ["large"]


def test_a_dry_run_writes_nothing(place: Path) -> None:
    before = (place / "params.yaml").read_bytes()
    assert "subject_rex" in oft("subject", "add", "Rex", "--class", "dog", "--dry-run")
    assert (place / "params.yaml").read_bytes() == before
    assert not (place / "params.yaml.before").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("subject", "add", "nowhere", "--class", "dog"), "nowhere"),
        (("subject", "add", "conf", "--class", "dog"), "no picture"),
        (("subject", "add", "Rex", "--class", "dog", "--adapters", "nope"), "'nope'"),
        (("subject", "add", "Rex", "--class", "dog", "--base", "nowhere"), "--base"),
        (("subject", "add", "Rex", "--class", "dog", "--prompts", "nowhere"), "no file of prompts nowhere"),
        (("subject", "add", "Rex", "--class", "dog", "--profile", "nope"), "no profile 'nope'"),
        (("subject", "add", "Rex", "--class", "{dog}"), "class"),
        (("subject", "add", "Rex", "--class", "dog", "--keep", "--profile", "smoke"), "--keep"),
        (("control", "add", "Rex", "--condition", "landmarks"), "canny"),
        (
            ("subject", "add", "Rex", "--class", "dog", "--profile", "sd15-subject"),
            "side of 256 px or more",
        ),
    ],
)
def test_a_mistake_is_named_and_writes_nothing(place: Path, arguments: tuple[str, ...], message: str) -> None:
    before = (place / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=message):
        oft(*arguments)
    assert (place / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--prompts", "Rex"), "subject_rex.prompts: there is no file of prompts Rex"),
        (("--prompts", "prompts.txt"), r"prompts\.txt, line 2: 'bad \{x\}'"),
        (("--class-pictures", "prompts.txt"), "subject_rex.class_pictures: .*prompts.txt"),
        (("--class-pictures", "empty"), "empty must be a folder of pictures, and has none"),
        (("--class-pictures", "damaged"), r"--class-pictures \(damaged\): a run keeps none"),
    ],
)
def test_what_the_run_would_refuse_of_a_subject_is_refused(
    place: Path, option: tuple[str, str], message: str
) -> None:
    (place / "prompts.txt").write_text("a {} in the snow\nbad {x}\n", encoding="utf-8")
    for folder in ("empty", "damaged"):
        (place / folder).mkdir()
    (place / "damaged" / "dog.png").write_bytes(b"no picture")
    before = (place / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=message):
        oft("subject", "add", "Rex", "--class", "dog", *option)
    assert (place / "params.yaml").read_bytes() == before


def test_pictures_lie_apart_from_their_copy(place: Path) -> None:
    shutil.copytree(place / "Rex", place / "data" / "raw" / "rex")
    with pytest.raises(UserError, match=r"data/raw/rex and its place \S*data/raw/rex lie within one another"):
        oft("subject", "add", "data/raw/rex", "--class", "dog")
    assert "3 pictures" in oft("subject", "add", "data/raw/rex", "--class", "dog", "--name", "dog")


def test_a_folder_called_as_a_data_set_of_ours_is_the_folder(place: Path) -> None:
    (place / "Rex").rename(place / "photos")
    assert "3 pictures of photos" in oft("subject", "add", "photos", "--class", "dog", "--name", "rex")
    assert load_params().datasets["rex"].acquire.source == "./photos"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "no valid YAML"),
        (b"", "holds nothing"),
        (b"- 1\n", "holds a list"),
        (b"seed: \xff", "UTF-8"),
        (b"seed: 0\n", "gate: missing"),
    ],
)
def test_a_faulty_params_yaml_is_named_and_a_profile_replaces_it(
    place: Path, content: bytes, message: str
) -> None:
    (place / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=message):
        oft("subject", "add", "Rex", "--class", "dog")
    assert (place / "params.yaml").read_bytes() == content
    oft("subject", "add", "Rex", "--class", "dog", "--profile", "smoke")
    assert load_params().subject_tasks == ["subject_rex"]


def test_sections_that_share_their_settings_are_written_apart(place: Path) -> None:
    text = (place / "params.yaml").read_text(encoding="utf-8")
    start, end = text.index("\ntrain_subject:\n"), text.index("\n# Class pictures that the base draws")
    shared = "\ntrain_subject:\n  <<: *steps\n  batch_size: 4\n  prior_loss_weight: 0.1\n"
    text = f"{text[:start]}{shared}{text[end:]}".replace("\ntrain:\n", "\ntrain: &steps\n")
    (place / "params.yaml").write_text(text, encoding="utf-8")
    before = load_params().train_subject
    oft("style", "add", "Rex", "--steps", 30, "--template", ":ink style")
    params = load_params()
    assert params.train.max_train_steps == 30 and params.train_subject == before
    assert params.datasets["rex"].captions.template == ":ink style"


def test_lines_that_need_not_change_stay(place: Path) -> None:
    before = (place / "params.yaml").read_text(encoding="utf-8").splitlines()
    oft("style", "add", "Rex", "--keep")
    after = (place / "params.yaml").read_text(encoding="utf-8").splitlines()
    new = [line for line in after if line not in before]
    assert "  style_rex: {dataset: rex}" in new and len(new) < 15
    assert [line for line in before if line not in after] == [
        line for line in before if line.startswith(("style_tasks:", "base_tasks:"))
    ]


def test_it_wants_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="repository's root"):
        oft("subject", "add", ".", "--class", "dog")
