"""params.yaml as typed objects: what is read, and what is refused where it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from oft.datasets import READERS
from oft.errors import ParamsError
from oft.params import Params, load_params, parse_params
from tests.conftest import ROOT
from tests.oft.params.refusal import faults

Values = dict[str, Any]


def test_defaults_are_valid(params: Params) -> None:
    assert params.train.batch_size == 16


def test_a_section_that_trains_has_the_shared_settings_and_its_own_before_them(values: Values) -> None:
    values["training"] |= {"snr_gamma": 5, "prompt_dropout": 0.25, "validate_every_steps": 7}
    values["train"] |= {"snr_gamma": 2}
    del values["train"]["validate_every_steps"]
    params = parse_params(values)
    assert (params.train.snr_gamma, params.train_subject.snr_gamma, params.fit_magnitude.snr_gamma) == (
        2,
        5,
        5,
    )
    assert params.train.prompt_dropout == 0.25 and params.train.validate_every_steps == 7
    assert params.train_subject.prompt_dropout == 0.0 and params.train_subject.validate_every_steps == 150


def test_sections_that_name_all_settings_need_none_shared(values: Values, params: Params) -> None:
    for name in ("train", "train_subject", "fit_magnitude"):
        values[name] = getattr(params, name).model_dump()
    values["training"] = {}
    assert parse_params(values).model_dump() == params.model_dump()


def test_the_shared_section_may_be_empty_but_not_missing(values: Values) -> None:
    del values["training"]
    assert "training: missing" in faults(values)


@pytest.mark.parametrize("shared", [None, [], "all"])
def test_training_is_a_mapping(values: Values, shared: object) -> None:
    values["training"] = shared
    assert "  - training: input should be a valid dictionary" in faults(values)


@pytest.mark.parametrize(
    "template", ["a photo", "a {class}", "a {identifier} {class} {class}", "{0} {identifier} {class}"]
)
def test_a_prompt_template_has_its_fields_once_and_no_other_brace(values: Values, template: str) -> None:
    values["instance_prompt"] = template
    assert "instance_prompt: must be one line of text with {identifier} and {class} once" in faults(values)


@pytest.mark.parametrize("value", [True, 1.5, "4", None])
def test_a_whole_number_is_a_whole_number(values: Values, value: object) -> None:
    values["report"]["num_rows"] = value
    assert "report.num_rows" in faults(values)


def test_a_whole_number_may_stand_for_a_real_one(values: Values) -> None:
    values["sample"]["guidance_scale"] = 3
    assert parse_params(values).sample.guidance_scale == 3


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "learning_rate", 0),
        ("train", "prompt_dropout", 1.1),
        ("train", "schedule", "step"),
        ("train", "lr_power", 0),
        ("train", "lr_num_cycles", 0),
        ("train", "adam_beta2", 1.0),
        ("train", "adam_epsilon", 0.0),
        ("train", "warmup_steps", 10_000_000),
        ("train", "gradient_accumulation_steps", 3),
        ("train", "ema_decay", 1.0),
        ("train", "optimizer", "sgd"),
        ("sample", "guidance_scale", 0.5),
        ("sample", "scheduler", "ddmi"),
        ("sample", "eta", 1.5),
        ("sample", "karras_sigmas", "yes"),
        ("shards", "jpeg_quality", 101),
        ("prior", "num_class_images", 0),
        ("angles", "resolution_px", 60),
        ("angles", "max_train_steps", 1),
    ],
)
def test_values_out_of_range_are_refused(values: Values, section: str, key: str, value: object) -> None:
    values[section][key] = value
    message = faults(values)
    assert section in message and str(value) in message


@pytest.mark.parametrize(
    ("condition", "key", "value"),
    [
        ("hed", "resolution_px", 500),
        ("mlsd", "score_threshold", 1.5),
        ("lineart_standard", "sigma_px", 0.0),
        ("depth", "model", ""),
        ("landmarks", "model", "anything"),
    ],
)
def test_settings_of_conditions_are_checked(values: Values, condition: str, key: str, value: object) -> None:
    values["conditions"][condition][key] = value
    assert f"conditions.{condition}.{key}" in faults(values)


def test_the_gate_knows_the_scores_of_pictures(values: Values) -> None:
    values["gate"]["metrics"]["frechet_distance"] = {"direction": "lower", "min_gain": 1.0, "max_loss": None}
    assert (
        "gate: metrics: each must be one of aacc, canny_f1, part_accuracy, landmark_auc, landmark_nme, "
        "circle_iou, circle_colour_error, depth_rmse, controlnetpp_canny_f1, controlnetpp_hed_ssim, "
        "controlnetpp_depth_rmse, subject_similarity, subject_similarity_image_text, "
        "style_similarity_unseen, style_similarity_seen, prompt_similarity, which every picture has; "
        "'frechet_distance' is not\n"
    ) in f"{faults(values)}\n"


def test_settings_are_read_without_a_heavy_library() -> None:
    program = (
        "import sys, oft.params\n"
        "heavy = {'torch', 'transformers', 'diffusers', 'cv2', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize(("key", "value"), [("negative_prompt", "blurry"), ("guess_mode", True)])
def test_what_guidance_alone_can_do_needs_guidance(values: Values, key: str, value: object) -> None:
    values["sample"][key] = value
    assert getattr(parse_params(values).sample, key) == value
    values["sample"]["guidance_scale"] = 1
    assert f"sample: {key} ({value!r}) is of guidance's unconditional half, and guidance_scale 1" in faults(
        values
    )


def test_a_polynomial_schedule_starts_above_its_end(values: Values) -> None:
    values["train"] |= {"schedule": "polynomial", "learning_rate": 5e-8, "scale_lr": True}
    parse_params(values)  # times 16 pictures
    values["train"]["scale_lr"] = False
    assert "train: learning_rate (5e-08) must be above 1e-07, where schedule polynomial ends" in faults(
        values
    )


def test_a_negative_prompt_is_one_line(values: Values) -> None:
    values["sample"]["negative_prompt"] = "blurry\nugly"
    assert "sample.negative_prompt: must be one line of text" in faults(values)


@pytest.mark.parametrize("reader", sorted(READERS))
def test_every_reader_can_be_chosen(values: Values, reader: str) -> None:
    values["datasets"]["photos"] |= {"reader": reader}
    values["datasets"]["photos"]["acquire"]["source"] = "/data/mine"
    assert parse_params(values).datasets["photos"].reader == reader


@pytest.mark.parametrize(
    ("source", "reader"), [("download", "deepfashion"), ("photos", "coco"), ("world", "hub")]
)
def test_a_source_gives_its_own_layouts_alone(values: Values, source: str, reader: str) -> None:
    values["datasets"]["photos"] |= {"reader": reader}
    values["datasets"]["photos"]["acquire"]["source"] = source
    said = faults(values)
    assert f"datasets.photos: acquire.source '{source}' gives the layout of reader " in said
    assert f"reader is {reader}; set source to a folder (docs/datasets.md" in said


@pytest.mark.parametrize("written", ["1e-5", "0.00001", "6.0e-5", "1e-7", "2E-3", "0.002"])
def test_a_number_that_dvc_writes_is_the_number_that_was_asked_for(written: str, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    apply_overrides(file, [f"train.learning_rate={written}"])  # as `dvc exp run --no-hydra -S` does
    assert load_params(file).train.learning_rate == float(written)


@pytest.mark.parametrize(("written", "value"), [("0550", 550), ("0o17", 15), ("1_000", 1000)])
def test_a_whole_number_is_that_of_yaml_1_2(written: str, value: int, tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    file = tmp_path / "params.yaml"
    file.write_text(re.sub(r"^seed: 0$", f"seed: {written}", text, flags=re.MULTILINE), encoding="utf-8")
    assert load_params(file).seed == value


def test_hours_and_minutes_are_no_number(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    file = tmp_path / "params.yaml"
    file.write_text(re.sub(r"^seed: 0$", "seed: 1:30", text, flags=re.MULTILINE), encoding="utf-8")
    with pytest.raises(ParamsError, match="seed: input should be a valid integer; it is '1:30'"):
        load_params(file)


def test_settings_cannot_be_changed_after_parsing(params: Params) -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.train.batch_size = 1


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="make profile"):
        load_params(tmp_path / "params.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "params.yaml"
    broken.write_bytes(b"seed: \xff")
    with pytest.raises(ParamsError, match="UTF-8"):
        load_params(broken)


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "params.yaml"
    broken.write_text("seed: [0", encoding="utf-8")
    with pytest.raises(ParamsError, match="no valid YAML"):
        load_params(broken)


def test_templates_of_captions_are_sound(values: Values) -> None:
    captions = values["datasets"]["coco"]["captions"]
    for sound in ("{caption}", "a photo of {caption}, naruto style", "naruto style", "({caption}:1.2) 100%"):
        captions["template"] = sound
        assert parse_params(values).datasets["coco"].captions.template == sound
    for unsound in (
        "",
        " ",
        "{caption} {caption}",
        "{}",
        "{caption!r}",
        "a {key}",
        "{caption",
        "{{caption}}",
        "a\nb",
    ):
        captions["template"] = unsound
        message = faults(values)
        assert "datasets.coco.captions: template must be" in message and repr(unsound) in message


@pytest.mark.parametrize("source", ["blip", "prompts.json"])
def test_a_template_that_leaves_captions_unused_is_refused(values: Values, source: str) -> None:
    values["datasets"]["coco"]["captions"] |= {"source": source, "template": "naruto style"}
    assert "go unused; add {caption} or set source to own" in faults(values)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "mirror",
    [
        None,
        "https://host/sets/",
        "http://127.0.0.1:8000",
        "file:///mnt/my%20sets",
        "s3://bucket/sets",
        f"hf://datasets/owner/na-me.1@{COMMIT}",
    ],
)
def test_a_mirror_is_one_of_its_forms(values: Values, mirror: str | None) -> None:
    values["datasets"]["coco"]["acquire"] |= {"source": "download", "mirror": mirror}
    assert parse_params(values).datasets["coco"].acquire.mirror == mirror


@pytest.mark.parametrize(
    "mirror",
    [
        "/mnt/sets",
        "file://host/sets",
        "ftp://host/sets",
        "https://user:secret@host/sets",
        "https://host/sets?signature=secret",
        "s3://key:secret@bucket/sets",
        "hf://datasets/owner/name@main",
        "hf://datasets/owner/name",
    ],
)
def test_other_mirrors_are_refused_and_no_secret_is_shown(values: Values, mirror: str) -> None:
    values["datasets"]["coco"]["acquire"] |= {"source": "download", "mirror": mirror}
    message = faults(values)
    assert "datasets.coco.acquire: mirror must be null, http(s)://" in message
    assert "secret" not in message


@pytest.mark.parametrize("source", ["https://user:secret@host/set", "s3://key:secret@bucket/set", "s3://"])
def test_a_source_is_no_address_but_on_s3(values: Values, source: str) -> None:
    values["datasets"]["coco"]["acquire"]["source"] = source
    message = faults(values)
    assert "datasets.coco.acquire: source must be world, photos, download, a folder or s3://" in message
    assert "secret" not in message
    values["datasets"]["coco"]["acquire"]["source"] = "s3://bucket/set"
    parse_params(values)


def test_a_mirror_without_a_download_is_refused(values: Values) -> None:
    values["datasets"]["coco"]["acquire"]["mirror"] = "https://host/sets"
    assert "mirror is read with source download alone and source is 'world'" in faults(values)


def test_a_name_of_the_users_can_be_trained(values: Values) -> None:
    values["adapters"]["wide"] = {"method": "oft", "block_size": 8}
    values["control_adapters"] = values["subject_adapters"] = ["oft", "wide"]
    assert parse_params(values).adapters["wide"].model_dump()["block_size"] == 8


def test_a_task_is_found_by_its_name_whatever_its_kind(values: Values) -> None:
    values["style_tasks"] = ["style_ink"]
    params = parse_params(values)
    assert {task: params.condition_of(task) for task in ("canny_coco", "subject_robot_toy", "style_ink")} == {
        "canny_coco": "canny",
        "subject_robot_toy": "subject",
        "style_ink": "style",
    }
    assert params.gated_tasks[-2:] == ["subject_robot_toy", "style_ink"]
    assert params.training_of("subject_robot_toy") is params.train_subject
    assert params.training_of("style_ink") is params.training_of("canny_coco") is params.train
    assert params.all_tasks["style_ink"].dataset == "world_ink"
