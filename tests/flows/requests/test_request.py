"""A request is refused before anything is fetched or run, with all of its faults at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flows.requests import checks
from flows.requests.kinds import KINDS, CommonRequest, SubjectRequest
from flows.requests.request import parse_request
from flows.requests.site import Site
from flows.requests.widths import adapted_widths
from oft.errors import ParamsError
from oft.profiles import compose_profile
from tests.conftest import ROOT

Asked = dict[str, Any]


@pytest.fixture(autouse=True)
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles do not change while these tests run, and composing one takes seconds."""
    monkeypatch.setattr(checks, "compose_profile", composed)


composed = cache(compose_profile)


def faults(values: Any, site: Site | None) -> str:
    with pytest.raises(ParamsError) as raised:
        parse_request(values, site)
    return str(raised.value)


def test_a_sound_request_has_its_addresses_in_full(asked: Asked, site: Site, tmp_path: Path) -> None:
    request = parse_request(asked | {"num_blocks": 8, "learning_rate": 1}, site)
    assert isinstance(request, SubjectRequest) and request.kind == "subject"
    assert request.instance_images == str(tmp_path / "trainings" / "robot.zip")
    assert request.output == str(tmp_path / "trainings" / "results")
    assert request.subject.identifier == "sks" and request.subject.class_name == "robot"
    assert request.prompts[0] == "a photo of sks robot" and len(request.prompts) == 6
    assert parse_request(request.model_dump(), site) == request


def test_all_faults_are_told_at_once_with_the_nearest_name(asked: Asked, site: Site) -> None:
    del asked["output"]
    message = faults(
        asked | {"max_train_step": 3, "seed": "7", "num_blocks": 3, "class_prompt": "a robot"}, site
    )
    assert message.startswith("5 parameter(s)")
    assert "max_train_step: unknown key; did you mean 'max_train_steps'?" in message
    assert "seed: input should be a valid integer; it is '7'" in message
    assert "output: missing; Where the result goes" in message
    assert "instance_prompt: must be class_prompt with one word more" in message
    assert "num_blocks: must divide the widths of all adapted layers, 128, 192; it is 3" in message


def test_every_adapter_that_learns_from_pictures_alone_is_taken_by_its_name(asked: Asked, site: Site) -> None:
    adapters = composed(ROOT / "conf", "miniature")["adapters"]
    taken = {name for name, own in adapters.items() if own["method"] in ("oft", "peft", "full")}
    assert {"lora", "lokr", "dreambooth"} < taken
    for name in taken:
        able = adapters[name]["method"] != "oft"
        assert parse_request(asked | {"adapter": name, "train_text_encoder": able}, site).adapter == name


def test_a_message_stays_short_however_many_faults_there_are(asked: Asked, site: Site) -> None:
    message = faults(asked | {f"unknown-{number}": number for number in range(10_000)}, site)
    assert message.startswith("10000 parameter(s)") and message.endswith("and 9980 more")
    assert len(message) < 5000


HOSTILE: list[tuple[Asked, str]] = [
    ({"instance_prompt": "a photo of sks robot; $(rm -rf /)"}, "it has '$'"),
    ({"instance_prompt": "a photo of `id` robot"}, "it has '`'"),
    ({"instance_prompt": "a photo of {caption} robot"}, "it has '{' '}'"),
    ({"instance_prompt": "a photo of ${seed} robot"}, "it has '$' '{' '}'"),
    ({"instance_prompt": "a photo of {{ 7*7 }} robot"}, "it has '*' '{' '}'"),
    ({"instance_prompt": "a photo of sks\nrobot"}, r"it has '\n'"),
    ({"instance_prompt": "a photo of sks\x00 robot"}, r"it has '\x00'"),
    ({"instance_prompt": "a photo of sks\u202e robot"}, r"it has '\u202e'"),
    ({"instance_prompt": "<script>alert(1)</script> robot"}, "it has '<' '>'"),
    ({"instance_prompt": "a photo of sks robot\\"}, r"it has '\\'"),
    ({"instance_prompt": "a " + "very " * 80 + "sks robot"}, "at most 300 characters long"),
    ({"instance_prompt": "a photo  of sks robot"}, "one space between two"),
    ({"instance_prompt": ""}, "one line of words"),
    ({"class_prompt": "a photo of {class}"}, "class_prompt: must be one line of words"),
    ({"gallery_prompts": ["a sks robot", "a sks $HOME"]}, "gallery_prompts.1: must be one line"),
    ({"gallery_prompts": ["a robot"]}, "does not name the subject: add 'sks'"),
    ({"gallery_prompts": ["a sks robot"] * 51}, "gallery_prompts: list should have at most 50"),
    ({"instance_images": "file:///etc/passwd"}, "instance_images: must begin with https://, not with file:"),
    ({"instance_images": "ftp://example.org/a.zip"}, "not with ftp:"),
    ({"instance_images": "http://example.org/a.zip"}, "not with http:"),
    ({"instance_images": "http://169.254.169.254/latest/a.zip"}, "instance_images: must begin with https://"),
    ({"instance_images": "https://169.254.169.254/a.zip"}, "169.254.169.254, which is no public address"),
    ({"instance_images": "https://127.0.0.1/a.zip"}, "127.0.0.1, which is no public"),
    ({"instance_images": "https://2130706433/a.zip"}, "127.0.0.1, which is no public"),
    ({"instance_images": "https://0x7f.1/a.zip"}, "127.0.0.1, which is no public"),
    ({"instance_images": "https://[::1]/a.zip"}, "::1, which is no public"),
    ({"instance_images": "https://[::ffff:10.0.0.1]/a.zip"}, "which is no public address"),
    ({"instance_images": "https://10.1.2.3:8443/a.zip"}, "10.1.2.3, which is no public"),
    ({"instance_images": "https://me:planted@example.org/a.zip"}, "must have no user name or password"),
    ({"instance_images": "https://example.org/a.html"}, "must lead to a file named .zip"),
    ({"instance_images": "https://exa mple.org/a.zip"}, "without spaces"),
    ({"instance_images": "https://example.org:99999/a.zip"}, "is no valid address"),
    ({"instance_images": "https:///a.zip"}, "has no valid host name"),
    ({"instance_images": "../secrets"}, "instance_images: must be a path of printable letters without '..'"),
    ({"instance_images": "/etc"}, "instance_images: lies outside of what this server allows"),
    ({"instance_images": "x" * 3000}, "instance_images: string should have at most 2048 characters"),
    ({"instance_images": "s3://key:planted@bucket/trainings/a.zip"}, "without credentials"),
    ({"instance_images": "s3://bucket/trainings/../private"}, "instance_images: must be s3://bucket/prefix"),
    ({"instance_images": "s3://bucket/elsewhere"}, "lies outside of what this server allows"),
    ({"output": "s3://other/trainings"}, "output: lies outside of what this server allows"),
    ({"output": "s3://bucket/trainings-of-others"}, "output: lies outside of what this server allows"),
    ({"output": "s3://bucket/trainings?X-Amz-Signature=planted"}, "output: must be s3://bucket/prefix"),
    ({"output": "https://example.org/put"}, "output: must be s3://bucket/prefix or a folder"),
    ({"output": "/tmp"}, "output: lies outside of what this server allows"),
    ({"output": "."}, "output: lies outside of what this server allows"),
    ({"output": "a\0b"}, "output: must be a path of printable letters"),
    ({"webhook": "http://example.org/hook"}, "webhook: must begin with https://"),
    ({"webhook": "https://localhost.planted@10.0.0.1/"}, "webhook: must have no user name"),
    ({"webhook": "https://[fd00:ec2::254]/"}, "webhook: leads to fd00:ec2::254"),
    ({"adapter": "lorra"}, "can learn a subject, oft, coft, lora, boft, hra, psoft, lokr, full, dreambooth"),
    ({"adapter": "hint"}, "dreambooth, dreambooth_lora; it is 'hint'"),
    (
        {"adapter": "lora", "num_blocks": 2},
        "num_blocks: lora has no blocks; leave it out, or choose one of oft",
    ),
    (
        {"train_text_encoder": True},
        "train_text_encoder: oft does not train it; leave it out, or choose one of ",
    ),
    ({"train_text_encoder": "yes"}, "train_text_encoder: input should be a valid boolean"),
    ({"lr_scheduler": "piecewise"}, "lr_scheduler: input should be 'constant', 'constant_with_warmup', "),
    ({"lr_scheduler": "constant", "lr_warmup_steps": 5}, "choose constant_with_warmup"),
    ({"lr_warmup_steps": 300}, "lr_warmup_steps: must be below the training's steps, 300; it is 300"),
    ({"lr_warmup_steps": 9, "max_train_steps": 9}, "must be below the training's steps, 9; it is 9"),
    ({"lr_num_cycles": 0}, "lr_num_cycles: input should be greater than or equal to 1"),
    ({"lr_power": 0.0}, "lr_power: input should be greater than 0"),
    ({"scale_lr": 1}, "scale_lr: input should be a valid boolean"),
    ({"class_images": "https://me:planted@example.org/a.zip"}, "class_images: must have no user name"),
    ({"class_images": "../secrets"}, "class_images: must be a path of printable letters without '..'"),
    ({"class_images": "s3://bucket/elsewhere"}, "class_images: lies outside of what this server allows"),
    ({"class_images": "robots", "num_class_images": 9}, "num_class_images: the base draws none beside class"),
    ({"max_train_steps": 10**400}, "max_train_steps: input should be less than or equal to 20000"),
    ({"max_train_steps": True}, "max_train_steps: input should be a valid integer"),
    ({"learning_rate": float("nan")}, "learning_rate: input should be"),
    ({"learning_rate": 1e300}, "learning_rate: input should be less than or equal to 1"),
    ({"seed": -1}, "seed: input should be greater than or equal to 0"),
    ({"num_class_images": 10**9}, "num_class_images: input should be less than or equal to 1000"),
    ({"resolution_px": 100}, "resolution_px: must be a multiple of 8, for example 96"),
    ({"resolution_px": 10**6}, "resolution_px: input should be less than or equal to 1024"),
    ({"num_blocks": 0}, "num_blocks: input should be greater than or equal to 1"),
    ({"profile": "../../etc/passwd"}, "profile: string should match pattern"),
    ({"profile": "minature"}, "profile: there is no 'minature'; did you mean 'miniature'?"),
    ({"__class__": "x"}, "__class__: unknown key; remove it"),
]


@pytest.mark.parametrize(("change", "said"), HOSTILE, ids=[said[:50] for _, said in HOSTILE])
def test_a_hostile_parameter_is_refused_with_the_reason_and_without_its_secret(
    asked: Asked, site: Site, change: Asked, said: str
) -> None:
    message = faults(asked | change, site._replace(has_webhook_secret=True))
    assert said in message
    assert "planted" not in message
    assert len(message) < 1000


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("key", ["kind", "seed", "instance_prompt", "gallery_prompts", "unknown"])
@pytest.mark.parametrize(
    "value", [nested(100_000), 10**6000, -(10**6000)], ids=["nested", "huge", "negative"]
)
def test_a_value_that_has_no_text_is_refused_in_words(asked: Asked, site: Site, key: str, value: Any) -> None:
    message = faults(asked | {key: value}, site)
    assert message.startswith("1 parameter(s)") and f"- {key}" in message


def test_a_key_that_is_no_text_is_a_fault_of_the_whole_request(asked: Asked, site: Site) -> None:
    message = faults(asked | {"\ud800": 1}, site)
    assert message.startswith("1 parameter(s)") and "- request: " in message
    message.encode()


@pytest.mark.parametrize("values", [None, [], "text", 7])
def test_parameters_other_than_an_object_are_refused(values: object, site: Site) -> None:
    assert "must be an object of parameters" in faults(values, site)


def test_a_webhook_needs_a_secret_on_the_server(asked: Asked, site: Site) -> None:
    hook = {"webhook": "https://example.org/hook"}
    assert "has no secret to sign with" in faults(asked | hook, site)
    assert parse_request(asked | hook, site._replace(has_webhook_secret=True)).webhook == hook["webhook"]


def test_a_link_out_of_an_allowed_folder_leads_nowhere(asked: Asked, site: Site, tmp_path: Path) -> None:
    (tmp_path / "trainings" / "way-out").symlink_to("/etc")
    assert "lies outside" in faults(asked | {"instance_images": "way-out/ssl"}, site)
    assert "lies outside" in faults(asked | {"output": "way-out/ssl"}, site)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("robot.zip", "output: is a file or lies below one"),
        ("robot.zip/deep/results", "output: is a file or lies below one"),
        ("n" * 300, "output: cannot be a folder: File name too long"),
    ],
)
def test_an_output_that_cannot_be_a_folder_is_refused_before_the_training(
    asked: Asked, site: Site, tmp_path: Path, output: str, said: str
) -> None:
    assert said in faults(asked | {"output": output}, site)
    (tmp_path / "trainings" / "results").mkdir()
    assert parse_request(asked | {"output": "results/deep"}, site).output.endswith("results/deep")


def test_without_the_servers_settings_the_other_checks_still_run(asked: Asked) -> None:
    assert parse_request(asked).model_dump()["instance_images"] == "robot.zip"
    assert parse_request(asked | {"webhook": "http://10.0.0.1:81/hook"}).webhook == "http://10.0.0.1:81/hook"
    for hostile in ("https://me:planted@10.0.0.1/", "file:///etc/passwd", "http://a:b:c/"):
        assert "webhook: " in faults(asked | {"webhook": hostile}, None)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_parameter_is_described_in_the_schema(kind: type[CommonRequest]) -> None:
    properties = kind.model_json_schema()["properties"]
    assert set(properties) == set(kind.model_fields)
    assert all(len(described["description"]) > 20 for described in properties.values())


def test_widths_are_those_of_the_layers_that_oft_finds() -> None:
    from oft.adapters.oft.config import OFTConfig
    from oft.adapters.oft.module import inject_oft
    from oft.adapters.targets import UNET_SUBJECT_TARGETS
    from oft.models.architectures import make_unet

    adapter = inject_oft(make_unet("sd15"), OFTConfig(UNET_SUBJECT_TARGETS, num_blocks=1))
    found = {size * number for number, size in adapter.block_shapes.values()}
    base = {"source": "v1-5.safetensors", "config": "sd15"}
    assert set(adapted_widths(ROOT, base)) == found == {320, 640, 768, 1280}
    miniature = compose_profile(ROOT / "conf", "miniature")["base"]
    assert adapted_widths(ROOT, miniature) == [128, 192]
    assert adapted_widths(ROOT, {"source": "owner/name@0", "config": "sd15"}) == []
