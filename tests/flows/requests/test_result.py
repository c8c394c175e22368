"""A result holds the adapter as its users load it, and no secret of the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import oft.exchange
from flows.requests import result as result_module
from flows.requests.kinds import SubjectRequest
from flows.requests.result import DELTA, describe_request, make_result, write_result
from oft.storage import write_json

TASK = SubjectRequest.task


def request(**values: Any) -> SubjectRequest:
    prompts = {"instance_prompt": "a sks dog", "class_prompt": "a dog"}
    return SubjectRequest.model_validate({"instance_images": "x", "output": "y", **prompts, **values})


def place(path: Path, content: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("adapter", "saved", "kept"),
    [
        (
            "dreambooth",
            {
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
                "text_encoder/model.safetensors",
            },
            {
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
                "text_encoder/model.safetensors",
            },
        ),
        (
            "lora",
            {"adapter_config.json", "pytorch_lora_weights.safetensors"},
            {"exported", "pytorch_lora_weights.safetensors"},
        ),
    ],
)
def test_a_result_has_the_files_that_users_of_the_adapter_load(
    adapter: str, saved: set[str], kept: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / TASK / adapter
    write_json(run / "metrics.json", {})
    for name in saved:
        place(run / "magnitude" / name, b'{"peft_type": "LORA"}')

    def export(adapter: Path, base: Path, target: Path, form: str, **chosen: object) -> list[str]:
        place(target / "exported" if form == "peft" else target)
        return []

    monkeypatch.setattr(oft.exchange, "export_adapter", export)
    monkeypatch.setattr(result_module, "write_gallery", lambda *_: b"")
    target = tmp_path / "result"
    made, _ = make_result(request(adapter=adapter), tmp_path, target, print)
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert files == {"metrics.json", DELTA, *(f"adapter/{name}" for name in kept)}
    result = write_result(made, target, "run", "revision", "s3://bucket/run")
    assert result["delta"] == f"s3://bucket/run/{DELTA}" and set(result["files"]) == files


def test_a_description_has_no_query_of_an_address() -> None:
    signed = "https://example.org/a.zip?X-Amz-Signature=planted"
    asked = request(instance_images=signed, class_images=signed, webhook="https://example.org/planted")
    described = describe_request(asked)
    assert "planted" not in str(described)
    assert described["class_images"] == described["instance_images"] == "https://example.org/a.zip"
    assert describe_request(request(class_images="robots"))["class_images"] == "robots"
