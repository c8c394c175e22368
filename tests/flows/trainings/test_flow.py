"""A request through the whole flow: adapter, gallery and webhook; equal requests give equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.trainings.flow import training
from flows.trainings.site import CLONE, HOSTS
from flows.trainings.webhook import read_key, sign
from oft.storage import read_remote
from tests.conftest import clone_repository

from .conftest import SECRET, WebServer, zipped

pytestmark = pytest.mark.usefixtures("prefect_server", "server_environment")


@pytest.mark.slow
def test_a_request_gives_an_adapter_and_a_gallery_on_s3_and_a_signed_webhook(
    tmp_path: Path, asked: dict[str, Any], web: WebServer, s3: Any, monkeypatch: pytest.MonkeyPatch,
    pictures: dict[str, bytes],
) -> None:  # fmt: skip
    repository = clone_repository(tmp_path / "repository", "smoke")
    monkeypatch.setenv(CLONE, str(repository))
    monkeypatch.setenv(HOSTS, web.authority)
    monkeypatch.setenv("OFT_WARM", "1")
    monkeypatch.setenv("OFT_WARM_IDLE_SECONDS", "60")
    s3.put_object(Bucket="bucket", Key="trainings/robot.zip", Body=zipped(pictures))
    request = asked | {
        "profile": "smoke",
        "instance_images": "s3://bucket/trainings/robot.zip",
        "output": "s3://bucket/trainings/results",
        "webhook": f"{web.url}/hook?token=planted-token",
        "gallery_prompts": ["a photo of sks robot", "a sks robot in the snow"],
        "num_gallery_images": 2,
    }
    state = training(request, return_state=True)
    assert state.is_completed(), state.message
    [told] = web.seen
    event = json.loads(told.body)
    result = event["result"]
    assert (event["type"], event["status"]) == ("training.completed", "completed")
    timestamp = int(told.headers["webhook-timestamp"])
    expected = sign(read_key(SECRET), told.headers["webhook-id"], timestamp, told.body)
    assert told.headers["webhook-signature"] == expected
    assert json.loads(read_remote(f"{result['address']}/result.json")) == result
    print(json.dumps(result, indent=1)[:3000])
    assert not list((repository / ".trainings").iterdir())
