"""Checkpoints of Latent Diffusion: every name and shape finds its place, and nothing is taken for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from oft.errors import CheckpointError
from oft.models.architectures import CheckpointName, write_configs
from oft.models.ldm import StateDict, choose_weights, convert, refuse_other_models
from oft.models.placing import empty_networks
from tests.oft.models.ldm_layout import checkpoint, read_configs, with_averages

FILE = Path("model.ckpt")
# Parameters of each part as published (Rombach et al. 2022 and the model cards round them).
NUMBERS = {
    "sd15": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sd21": {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840},
    "sdxl": {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    },
}


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl"])
def test_every_weight_of_a_full_size_checkpoint_finds_its_place(name: CheckpointName, tmp_path: Path) -> None:
    write_configs(name, tmp_path)
    state = checkpoint(read_configs(tmp_path))
    refuse_other_models(FILE, state, is_xl=name == "sdxl")
    counted = {}
    for part, network in empty_networks(tmp_path).items():
        converted = convert(FILE, state, part, network)
        counted[part] = sum(weight.numel() for weight in converted.values())
    assert counted == NUMBERS[name]
    if name == "sd15":
        assert len([key for key in state if key.startswith("model.diffusion_model.")]) == 686
        assert len([key for key in state if key.startswith("first_stage_model.")]) == 248


def test_the_checkpoints_predict_what_they_were_trained_on(tmp_path: Path) -> None:
    predicted = {}
    for name in ("sd15", "sd21", "sd21-base", "sdxl"):
        write_configs(name, tmp_path / name)
        scheduler = json.loads((tmp_path / name / "scheduler" / "scheduler_config.json").read_text("utf-8"))
        unet = json.loads((tmp_path / name / "unet" / "config.json").read_text("utf-8"))
        predicted[name] = (scheduler["prediction_type"], 8 * unet["sample_size"])
    assert predicted == {
        "sd15": ("epsilon", 512),
        "sd21": ("v_prediction", 768),
        "sd21-base": ("epsilon", 512),
        "sdxl": ("epsilon", 1024),
    }


def test_a_checkpoint_of_another_config_is_refused_with_its_first_differences(tmp_path: Path) -> None:
    for name in ("sd15", "sd21"):
        write_configs(name, tmp_path / name)
    state = checkpoint(read_configs(tmp_path / "sd21"))
    with pytest.raises(CheckpointError) as raised:
        convert(FILE, state, "unet", empty_networks(tmp_path / "sd15")["unet"])
    message = str(raised.value)
    assert "model.ckpt: its unet must have the 686 weights of the model" in message
    assert "base.config" in message
    assert (
        "attn2.to_k.weight is [320, 1024], not [320, 768], " in message and message.count("[320, 1024]") < 4
    )


def test_missing_weights_are_counted_and_the_first_named(tmp_path: Path) -> None:
    write_configs("sd15", tmp_path)
    state = checkpoint(read_configs(tmp_path))
    gone = [name for name in state if name.startswith("model.diffusion_model.output_blocks.11.1.")]
    for name in gone:
        del state[name]
    with pytest.raises(
        CheckpointError, match=rf"{len(gone)} missing: up_blocks\.3\.attentions\.2\..*, \.\.\.;"
    ):
        convert(FILE, state, "unet", empty_networks(tmp_path)["unet"])


def test_averages_take_the_place_of_the_weights_and_what_was_taken_is_said() -> None:
    state = {f"model.diffusion_model.out.{i}.weight": torch.full((2,), float(i)) for i in range(3)}
    state["first_stage_model.x"] = torch.zeros(1)

    def values(chosen: StateDict) -> list[float]:
        return [float(chosen[f"model.diffusion_model.out.{i}.weight"][0]) for i in range(3)]

    pruned = {**state, "model_ema.decay": torch.ones(()), "model_ema.num_updates": torch.ones(())}
    for given in (state, pruned):
        for use_ema in (True, False):
            chosen, said = choose_weights(FILE, given, use_ema)
            assert (
                chosen == state and said == "the only weights (the file has no moving averages beside them)"
            )
    chosen, said = choose_weights(FILE, with_averages(state), True)
    assert values(chosen) == [1, 2, 3] and said == "the moving averages"
    assert torch.equal(chosen["first_stage_model.x"], torch.zeros(1))
    chosen, said = choose_weights(FILE, with_averages(state), False)
    assert values(chosen) == [0, 1, 2] and said.startswith("the last weights (base.use_ema is false")
    assert chosen == state


def test_diffusers_says_nothing_of_averages_that_were_seen_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its converter tells people to ask for the averages wherever it finds a hundred of them."""
    write_configs("sd15", tmp_path)
    state = checkpoint(read_configs(tmp_path))
    averaged, _ = choose_weights(FILE, with_averages(state), True)
    convert(FILE, averaged, "unet", empty_networks(tmp_path)["unet"])
    assert "EMA" not in caplog.text and not any(name.startswith("model_ema.") for name in averaged)


def test_averages_of_some_weights_alone_are_refused() -> None:
    state = with_averages({f"model.diffusion_model.out.{i}.weight": torch.ones(1) for i in range(3)})
    del state["model_ema.diffusion_modelout1weight"]
    with pytest.raises(
        CheckpointError, match=r"1 have none, model\.diffusion_model\.out\.1\.weight; set base"
    ):
        choose_weights(FILE, state, True)
    chosen, _ = choose_weights(FILE, state, False)
    assert len(chosen) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["conditioner.embedders.0.transformer.x"],
            "of Stable Diffusion XL, .*set base.config in .* to sdxl",
        ),
        (
            ["decoder.conv_in.weight"],
            "has no UNet .*no autoencoder .*no text encoder .*holds decoder.conv_in",
        ),
        (
            ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight"],
            r"has no text encoder \(cond_stage_model",
        ),
    ],
)
def test_what_is_no_whole_checkpoint_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        refuse_other_models(FILE, {name: torch.zeros(1) for name in names})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cond_stage_model.transformer.x"], "of Stable Diffusion 1 or 2, and base.config names an XL"),
        (
            # The refiner, whose one text encoder is XL's second.
            ["conditioner.embedders.0.model.x", "model.diffusion_model.input_blocks.0.0.weight"],
            r"has no autoencoder .*no text encoder \(conditioner\.embedders\.0\.transformer\.\*\), no text",
        ),
        (["edm_mean"], r"conditioned as in Karras et al\. 2022 \(edm_"),
        (["v_pred"], r"predicts velocity \(v_pred\), and base\.config has a scheduler for epsilon"),
    ],
)
def test_what_is_no_whole_xl_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        refuse_other_models(FILE, {name: torch.zeros(1) for name in names}, is_xl=True)


@pytest.mark.parametrize(
    ("in_channels", "kind"),
    [(9, "an inpainting model"), (8, "an instruct-pix2pix model"), (5, "a depth-to-image model")],
)
def test_a_model_of_another_task_is_called_by_its_name(in_channels: int, kind: str) -> None:
    state = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(320, in_channels, 3, 3)}
    with pytest.raises(CheckpointError, match=f"its UNet takes {in_channels} channels, so it is {kind}"):
        refuse_other_models(FILE, state)


def test_a_whole_pipeline_under_diffusers_names_is_called_that() -> None:
    with pytest.raises(
        CheckpointError, match=r"those of diffusers behind a prefix \(unet\.conv_in\.weight\)"
    ):
        refuse_other_models(FILE, {"unet.conv_in.weight": torch.zeros(1)})
