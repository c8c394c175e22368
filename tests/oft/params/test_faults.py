"""Everything wrong is said at once, by key, rule, value and remedy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oft.params.refusal import faults

Values = dict[str, Any]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_all_faults_are_named_at_once(values: Values) -> None:
    values["train"]["learning_rte"] = 1
    values["train"]["batch_size"] = "16"
    values["resolution_px"] = 63
    values["sample"]["num_samples"] = 0
    del values["identifier"]
    message = faults(values)
    assert "5 setting(s)" in message
    assert "train.learning_rte: unknown key; did you mean 'learning_rate'?" in message
    assert "train.batch_size" in message and "'16'" in message
    assert "resolution_px: must be a multiple of 8, for example 56; it is 63" in message
    assert "sample.num_samples" in message and "it is 0" in message
    assert "identifier: missing" in message


def test_a_fault_of_training_is_named_once_and_where_it_is_written(values: Values) -> None:
    values["training"] |= {"snr_gama": 1, "prior_loss_weight": 1.0, "ema_decay": 1, "optimizer": "sgd"}
    values["fit_magnitude"]["optimizer"] = "adam"
    del values["training"]["attention"], values["train"]["max_train_steps"]
    del values["train_subject"]["prior_loss_weight"]
    message = faults(values)
    assert "8 setting(s)" in message
    assert "training.snr_gama: unknown key; did you mean 'snr_gamma'?" in message
    assert "training.prior_loss_weight: unknown key" in message
    assert "training.ema_decay: " in message and "training.optimizer: " in message
    assert "fit_magnitude.optimizer: " in message and "'adam'" in message
    assert "training.attention: missing" in message and "train.max_train_steps: missing" in message
    assert "train_subject.prior_loss_weight: missing" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda v: v["datasets"]["coco"].update(reader="coc"),
            "datasets.coco.reader: must be one of ade20k, celeba_hq, coco, deepfashion, dreambooth, fill50k, "
            "hub, hub_depth, image_folder, reference, train_folder (did you mean 'coco'?); it is 'coc'",
        ),
        (
            lambda v: v["tasks"]["canny_coco"].update(condition="cany"),
            "tasks.canny_coco.condition: must be one of canny, canny_kornia, circles, densepose, depth, "
            "given, hed, landmarks, lineart, lineart_standard, mlsd, normal, openpose, scribble, "
            "segmentation (did you mean 'canny'?); it is 'cany'",
        ),
        (
            lambda v: v["sample"].update(scheduler="euler_b"),
            "sample.scheduler: must be one of ddim, plms, dpmsolver++, dpmsolver_sde, dpm2, dpm2_a, unipc, "
            "euler, euler_a, heun, lms (did you mean 'euler_a'?); it is 'euler_b'",
        ),
        (
            lambda v: v["conditions"].update(cany={}),
            "conditions.cany: unknown key; did you mean 'canny'?",
        ),
        (
            lambda v: v["conditions"]["canny"].update(low_treshold=1),
            "conditions.canny.low_treshold: unknown key; did you mean 'low_threshold'?",
        ),
        (lambda v: v["conditions"].pop("hed"), "conditions.hed: missing; copy it from conf/defaults.yaml"),
    ],
)
def test_a_component_that_is_not_there_is_named_with_those_that_are(
    values: Values, change: Any, said: str
) -> None:
    change(values)
    values["report"]["num_rows"] = 0
    message = faults(values)
    assert said in message and "report.num_rows" in message and "2 setting(s)" in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1e-3", "write 0.001"),
        ("1e-07", "is text; write 1.0e-07"),
        ("fast", "valid number"),
        (float("inf"), "finite"),
        (float("nan"), "finite"),
    ],
)
def test_a_real_number_is_a_finite_number(values: Values, value: object, said: str) -> None:
    values["train"]["learning_rate"] = value
    message = faults(values)
    assert "train.learning_rate" in message and said in message


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"method": "lora", "rank": 4},
            "adapters.mine.method: must be one of peft, oft, controlnet, full, hint; it is 'lora'",
        ),
        (
            {"num_blocks": 4},
            "adapters.mine.method: must be one of peft, oft, controlnet, full, hint; it is missing",
        ),
        (
            {"method": "oft", "num_block": 4},
            "adapters.mine.num_block: unknown key; did you mean 'num_blocks'?",
        ),
        (
            {"method": "oft", "num_blocks": 0},
            "adapters.mine.num_blocks: input should be greater than or equal to 1",
        ),
        ({"method": "oft"}, "adapters.mine: one of num_blocks (None) and block_size (None) must be a number"),
    ],
)
def test_an_adapter_is_a_name_with_a_method(values: Values, entry: dict[str, Any], message: str) -> None:
    values["adapters"]["mine"] = entry
    assert message in faults(values)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (int("f" * 9000, 16), "seed: input should be less than or equal to 2147483647; it is a number of"),
        (nested(5000), "seed: input should be a valid integer; it is [[[[[[[...]]]]]]]"),
        (
            "/data/a/path/of/more/than/thirty/characters",
            "it is '/data/a/path/of/more/than/thirty/characters'",
        ),
    ],
    ids=["digits", "brackets", "path"],
)
def test_a_value_is_shown_however_long_it_is(values: Values, value: object, said: str) -> None:
    values["seed"] = value
    assert said in faults(values)
    assert len(faults(values)) < 400


@pytest.mark.parametrize(("settings", "held"), [(None, "nothing"), ([1], "a list"), ("text", "a str")])
def test_settings_are_a_mapping_and_a_profile_writes_one(settings: Any, held: str) -> None:
    assert faults(settings) == (
        f"params.yaml: must be a mapping of settings, and holds {held}; "
        "`oft profile miniature` writes params.yaml anew"
    )
