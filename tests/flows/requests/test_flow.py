"""A request through the whole flow: adapter, gallery and webhook; equal requests give equal bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from prefect.settings import PREFECT_API_URL
from typer.testing import CliRunner

import requests
from flows.requests import flow as flow_module
from flows.requests import webhook
from flows.requests.__main__ import app
from flows.requests.client import Client, TrainingRun
from flows.requests.flow import training
from flows.requests.kinds import SubjectRequest
from flows.requests.result import make_result
from flows.requests.site import HOSTS
from flows.requests.webhook import read_key, sign
from flows.requests.workspace import open_workspace
from flows.server import CLONE
from oft.storage import load_yaml, read_json, read_remote, sha256_file, write_json
from tests.conftest import ROOT, clone_repository
from tests.processes import is_running

from .conftest import SECRET, WebServer, picture, zipped

pytestmark = pytest.mark.usefixtures("prefect_server", "server_environment")

Asked = dict[str, Any]

TINY = """
stages:
  train_subject:
    cmd: COMMAND
    params: [seed, identifier, instance_prompt, class_prompt, datasets, subjects, train_subject]
    outs: [trained]
  evaluate_subject:
    cmd:
      - |
        echo '{"likeness": 0.5}' > metrics.json
    deps: [trained]
    metrics: [metrics.json]
"""
"""First and last of the pipeline's stages by name, without their work."""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes the server's checkout a repository of the project's settings and a few quick stages."""

    def make(command: str) -> Path:
        from dvc.repo import Repo

        root = tmp_path / "tiny"
        root.mkdir()
        author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
        with Repo.init(str(root)) as repo, repo.config.edit("repo") as config:
            config["core"].update(analytics=False, check_update=False)
        shutil.copytree(ROOT / "conf", root / "conf")
        (root / ".gitignore").write_text("/.trainings/\n/.downloads/\n")
        (root / "dvc.yaml").write_text(TINY.replace("COMMAND", json.dumps(command)))
        subprocess.run(["git", "add", "."], cwd=root, check=True)
        subprocess.run(["git", *author, "commit", "--quiet", "--message", "tiny"], cwd=root, check=True)
        monkeypatch.setenv(CLONE, str(root))
        return root

    return make


@pytest.fixture
def quick_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result without an adapter: what the stages left."""

    def make(request: Any, root: Path, target: Path, log: Callable[[str], None]) -> tuple[Asked, bytes]:
        target.mkdir()
        shutil.copyfile(root / "trained", target / "trained")
        shutil.copyfile(root / "dvc.lock", target / "dvc.lock")
        shutil.copyfile(root / "params.yaml", target / "params.yaml")
        from flows.requests.result import describe_request

        return {"metrics": read_json(root / "metrics.json"), "request": describe_request(request)}, b"jpeg"

    monkeypatch.setattr(flow_module, "make_result", make)
    monkeypatch.setattr(webhook, "BACKOFF_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(flow_module, "upload", flow_module.upload.with_options(retry_delay_seconds=0))


TRAIN = "echo ran >> $TRAINED; cat .downloads/*/dataset/prompts_and_classes.txt > trained"


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the training of the tiny pipeline says that it ran."""
    monkeypatch.setenv("TRAINED", str(tmp_path / "trained.txt"))
    return tmp_path / "trained.txt"


def obtain(request: Asked) -> Asked:
    """The result of a request that completes."""
    given: Any = training  # with all that a caller may send, not only what is sound
    return dict(given(request))


def api(path: str, body: Any = None) -> Any:
    url = f"{PREFECT_API_URL.value()}{path}"
    answer = requests.get(url, timeout=30) if body is None else requests.post(url, json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()


def artifacts(run_id: str) -> dict[str, str]:
    found = api("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
    return {artifact["key"]: str(artifact["data"]) for artifact in found}


def told(web: WebServer) -> list[Asked]:
    """The events that the web server got, each with a sound signature."""
    events = []
    for seen in web.seen:
        if seen.method == "POST":
            timestamp = int(seen.headers["webhook-timestamp"])
            expected = sign(read_key(SECRET), seen.headers["webhook-id"], timestamp, seen.body)
            assert seen.headers["webhook-signature"] == expected
            events.append(json.loads(seen.body))
    return events


@pytest.mark.usefixtures("quick_result")
def test_equal_requests_train_once_and_give_equal_files_wherever_they_go(
    asked: Asked, tiny: Callable[[str], Path], trained: Path, tmp_path: Path, s3: Any
) -> None:
    root = tiny(TRAIN)
    defaults = root / "conf" / "defaults.yaml"  # an edit that is in no revision
    defaults.write_text(defaults.read_text().replace("num_class_images: 32", "num_class_images: 31"))
    assert "num_class_images: 31" in defaults.read_text()
    asked |= {"max_train_steps": 7, "class_images": "robot.zip"}
    local = obtain(asked)
    folder = Path(local["address"])
    assert folder == tmp_path / "trainings" / "results" / local["id"]
    assert read_json(folder / "result.json") == local
    assert {name: sha256_file(folder / name) for name in local["files"]} == {
        name: described["sha256"] for name, described in local["files"].items()
    }
    settings = load_yaml((folder / "params.yaml").read_text())
    assert settings["train_subject"]["max_train_steps"] == 7
    assert settings["prior"]["num_class_images"] == 32
    assert settings["subjects"][SubjectRequest.task]["class_pictures"].startswith(".downloads/")
    assert (settings["identifier"], settings["subject_adapters"]) == ("sks", ["oft"])
    assert settings["instance_prompt"] == "a photo of {identifier} {class}"
    assert "a photo of sks robot on a table" in (folder / "trained").read_text()

    # The bucket is not there: the training is kept, and published once it is.
    output = {"output": "s3://bucket/trainings/out"}
    s3.delete_bucket(Bucket="bucket")
    state = training(asked | output, return_state=True)
    assert state.is_failed() and "the result cannot be published" in (state.message or "")
    assert "send the same request again" in (state.message or "")
    s3.create_bucket(Bucket="bucket")
    remote = obtain(asked | output)
    assert json.loads(read_remote(f"{remote['address']}/result.json")) == remote
    assert remote["id"] != local["id"] and remote["files"] == local["files"]
    assert trained.read_text() == "ran\n"
    assert list((root / ".trainings").iterdir()) == []


@pytest.mark.usefixtures("quick_result")
def test_a_faulty_request_fails_at_once_with_all_faults_and_tells_its_webhook(
    asked: Asked, tiny: Callable[[str], Path], trained: Path, web: WebServer, server_environment: Any
) -> None:
    root = tiny(TRAIN)
    server_environment.setenv(HOSTS, web.authority)
    state = training(
        asked
        | {
            "instance_prompt": "a photo of $(touch /tmp/planted) robot",
            "steps": 3,
            "instance_images": f"{web.url}/a.zip",
            "output": "/etc",
            "webhook": f"{web.url}/hook",
        },
        return_state=True,
    )
    assert state.is_failed()
    assert (state.message or "").startswith("3 parameter(s) of the request break the rules:")
    assert not trained.exists() and not (root / ".trainings").exists()
    assert [event["status"] for event in told(web)] == ["failed"]
    assert told(web)[0]["message"] == state.message
    assert [seen.method for seen in web.seen] == ["POST"]


@pytest.mark.usefixtures("quick_result")
def test_hostile_pictures_fail_the_run_before_anything_is_trained(
    asked: Asked, tiny: Callable[[str], Path], trained: Path, tmp_path: Path
) -> None:
    root = tiny(TRAIN)
    (tmp_path / "trainings" / "robot.zip").write_bytes(zipped({"../up.png": b""}))
    state = training(asked, return_state=True)
    assert state.is_failed() and "is not safe to write to" in (state.message or "")
    assert not trained.exists() and list((root / ".trainings").iterdir()) == []


@pytest.mark.usefixtures("quick_result")
def test_a_stage_that_fails_fails_the_run_with_its_last_lines(
    asked: Asked, tiny: Callable[[str], Path], web: WebServer, server_environment: Any
) -> None:
    root = tiny("echo the reason >&2; exit 3")
    server_environment.setenv(HOSTS, web.authority)
    state = training(asked | {"webhook": web.url}, return_state=True)
    assert state.is_failed() and "the reason" in (state.message or "")
    assert told(web)[0]["status"] == "failed" and "the reason" in told(web)[0]["message"]
    assert list((root / ".trainings").iterdir()) == []


@pytest.mark.usefixtures("quick_result")
@pytest.mark.timeout(600, method="thread")  # the alarm is that of the flow
def test_a_training_that_takes_too_long_fails_and_leaves_no_process(
    asked: Asked, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    # The stage sends the alarm that the flow has set for a day.
    root = tiny(f"echo $$ > {tmp_path / 'pid'}; kill -ALRM {os.getpid()}; sleep 600")
    state = training(asked, return_state=True)
    assert state.is_failed()
    assert "took longer than the 24 h that OFT_TRAININGS_HOURS allows" in (state.message or "")
    assert not is_running(int((tmp_path / "pid").read_text()))
    assert list((root / ".trainings").iterdir()) == []


@pytest.mark.usefixtures("quick_result")
def test_a_receiver_that_is_down_leaves_the_result_safe_and_is_told_later(
    asked: Asked, tiny: Callable[[str], Path], trained: Path, web: WebServer, server_environment: Any
) -> None:
    tiny(TRAIN)
    server_environment.setenv(HOSTS, web.authority)
    web.answer = lambda _: (503, {}, b"")
    state = training(asked | {"webhook": f"{web.url}/hook"}, return_state=True)
    assert state.is_completed(), state.message
    assert len(told(web)) == 4 and len({seen.headers["webhook-id"] for seen in web.seen}) == 1
    result = told(web)[0]["result"]
    run_id = result["id"]
    assert read_json(Path(result["address"]) / "result.json") == result
    assert artifacts(run_id)["training-webhook"].startswith("Not delivered; to send it again: ")
    assert artifacts(run_id)["training-webhook"].count("status 503") == 4
    web.answer = lambda _: (200, {}, b"")
    server_environment.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    sent = CliRunner().invoke(app, ["resend", run_id])
    assert (sent.exit_code, sent.output) == (0, "status 200\n")
    assert web.seen[-1].body == web.seen[0].body
    assert web.seen[-1].headers["webhook-id"] == web.seen[0].headers["webhook-id"]


@pytest.mark.usefixtures("quick_result")
def test_no_secret_is_in_logs_artifacts_results_locks_or_the_cache(
    asked: Asked,
    tiny: Callable[[str], Path],
    trained: Path,
    web: WebServer,
    s3: Any,
    server_environment: Any,
    tmp_path: Path,
    pictures: dict[str, bytes],
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = tiny(TRAIN)
    planted = ["planted-signature", "planted-token", "planted-aws-secret", SECRET.removeprefix("whsec_")]
    server_environment.setenv("AWS_SECRET_ACCESS_KEY", "planted-aws-secret")
    server_environment.setenv(HOSTS, web.authority)
    web.answer = lambda seen: (200, {}, zipped(pictures)) if seen.method == "GET" else (500, {}, b"")
    sound = asked | {
        "instance_images": f"{web.url}/robot.zip?X-Amz-Signature=planted-signature",
        "webhook": f"{web.url}/planted-token",
    }
    state = training(sound, return_state=True)
    assert state.is_completed(), state.message
    faulty = [
        sound | {"output": "s3://key:planted-token@bucket/x"},
        sound | {"instance_images": "https://me:planted-token@example.org/a.zip?planted-signature"},
        sound | {"webhook": "https://me:planted-token@example.org/"},
    ]
    web.answer = lambda _: (404, {}, b"")
    messages = [training(each, return_state=True).message for each in (*faulty, sound)]
    time.sleep(3)  # Prefect sends logs every two seconds
    logs = api("/logs/filter", {"limit": 200, "sort": "TIMESTAMP_DESC"})
    kept = json.dumps([logs, api("/artifacts/filter", {}), messages, told(web)])
    kept += "".join(capfd.readouterr())
    folders = [root / ".dvc", tmp_path / "trainings"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "dvc.lock" for path in files) and "robot.zip" in kept
    for secret in planted:
        assert secret not in kept
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_the_api_queues_a_request_once_shows_its_parameters_and_cancels_it(
    asked: Asked, server_environment: Any
) -> None:
    deployment: Any = training.to_deployment(name="request", enforce_parameter_schema=False)
    deployment.apply()
    schema = api("/deployments/name/training/request")["parameter_openapi_schema"]
    described = schema["definitions"]["SubjectRequest"]["properties"]
    assert "3 to 100 pictures" in described["instance_images"]["description"]
    assert "by its name: oft" in described["adapter"]["description"]
    with Client(PREFECT_API_URL.value()) as client:
        first, second = (client.submit(asked, "one key") for _ in range(2))
        other = client.submit(asked, "another key")
        assert first.id == second.id != other.id
        assert (first.state, first.parameters) == ("SCHEDULED", {"request": asked})
        for run in (first, other):
            assert client.cancel(run.id).state == "CANCELLED"
        assert list(client.follow(first.id))[-1].id == first.id  # type: ignore[union-attr]


def test_the_client_says_what_is_wrong(asked: Asked, server_environment: Any, tmp_path: Path) -> None:
    server_environment.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    arguments = [part for key, value in asked.items() for part in ("--set", f"{key}={value}")]
    runner = CliRunner()
    assert "no Prefect server answers" in runner.invoke(app, ["submit", *arguments]).output
    assert runner.invoke(app, ["submit", *arguments, "--check"]).output == "the request is sound\n"
    done = runner.invoke(app, ["submit", *arguments, "--set", "max_train_step=3", "--set", "seed=x"])
    assert done.exit_code == 1
    assert "did you mean 'max_train_steps'?" in done.output and "seed: input should be" in done.output
    write_json(tmp_path / "list.json", [1])
    assert "must hold one JSON object" in runner.invoke(app, ["submit", str(tmp_path / "list.json")]).output
    assert "got 'x'" in runner.invoke(app, ["submit", "--set", "x"]).output
    server_environment.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    unknown = runner.invoke(app, ["submit", *arguments, "--deployment", "training/nowhere"]).output
    assert "knows no training/nowhere" in unknown
    assert "knows no" in runner.invoke(app, ["status", str(uuid4())]).output


def test_help_imports_neither_prefect_nor_torch_nor_dvc() -> None:
    code = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        "try: runpy.run_module('flows.requests', run_name='__main__')\n"
        "except SystemExit as ended: assert not ended.code\n"
        "assert not {'prefect', 'torch', 'dvc'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


SERVE = "from flows.requests.flow import training; training.serve(name='request', pause_on_shutdown=False)"


def test_a_cancelled_or_crashed_run_leaves_no_process_and_no_clone_and_tells_its_webhook(
    asked: Asked,
    tiny: Callable[[str], Path],
    web: WebServer,
    server_environment: Any,
    tmp_path: Path,
) -> None:
    """By a server's own runner, as with a worker: the run is a process of its own."""
    pid_file = tmp_path / "pid"
    root = tiny(f"echo $$ > {pid_file}; sleep 600")
    server_environment.setenv(HOSTS, web.authority)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    with (tmp_path / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE], cwd=root, env=environment, stdout=log, stderr=log
        )
    try:
        with Client(PREFECT_API_URL.value()) as client:
            wait_for(lambda: "Your flow" in (tmp_path / "serve.log").read_text())
            run = client.submit(asked | {"webhook": f"{web.url}/hook"}, str(uuid4()))
            wait_for(lambda: pid_file.is_file() and pid_file.read_text().strip() != "")
            sleeper = int(pid_file.read_text())
            assert len(list((root / ".trainings").iterdir())) == 2
            client.cancel(run.id)
            *lines, ended = client.follow(run.id)
            assert isinstance(ended, TrainingRun) and ended.state == "CANCELLED"
            assert any("sleep 600" in str(line) for line in lines)
            assert len(client.logs(run.id)) >= len(lines)
            assert not is_running(sleeper)
            assert list((root / ".trainings").iterdir()) == []
            wait_for(lambda: bool(web.seen))
            assert [(event["status"], event["id"]) for event in told(web)] == [("cancelled", run.id)]

            # Killed, it cleans up nothing: its stages end with it, its runner tells the webhook, and the next
            # run removes its clone.
            pid_file.unlink()
            run = client.submit(asked | {"webhook": f"{web.url}/hook"}, str(uuid4()))
            wait_for(lambda: pid_file.is_file() and pid_file.read_text().strip() != "")
            sleeper = int(pid_file.read_text())
            os.kill(flow_process(sleeper, server.pid), signal.SIGKILL)
            wait_for(lambda: len(web.seen) == 2)
            assert (told(web)[1]["status"], told(web)[1]["id"]) == ("crashed", run.id)
            wait_for(lambda: not is_running(sleeper))
            assert len(list((root / ".trainings").iterdir())) == 2
            with open_workspace(root, root / ".trainings", "next"):
                pass
            assert list((root / ".trainings").iterdir()) == []
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(30)
        finally:
            server.kill()
            server.wait()


def flow_process(stage: int, runner: int) -> int:
    """The child of a runner that a stage's process descends from."""
    while (parent := psutil.Process(stage).ppid()) != runner:
        assert parent > 1
        stage = parent
    return stage


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's checkout of this repository, whose DVC cache all that is trained here for real shares."""
    return clone_repository(tmp_path_factory.mktemp("server") / "repository", "smoke")


@pytest.fixture
def repository(checkout: Path, server_environment: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That checkout as the server's. Each result is made twice of the same training, with equal files."""
    server_environment.setenv(CLONE, str(checkout))
    server_environment.setenv("OFT_WARM", "1")
    server_environment.setenv("OFT_WARM_IDLE_SECONDS", "60")

    def make(request: Any, root: Path, target: Path, log: Callable[[str], None]) -> tuple[Asked, bytes]:
        made, again = (make_result(request, root, each, log) for each in (target, target.with_name("again")))
        assert again == made and hashes(target.with_name("again")) == hashes(target)
        return made

    monkeypatch.setattr(flow_module, "make_result", make)
    return checkout


def hashes(folder: Path) -> dict[str, str]:
    """The hash of each file of a folder, by its path there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_request_gives_an_adapter_and_a_gallery_on_s3_and_a_signed_webhook(
    asked: Asked,
    web: WebServer,
    s3: Any,
    server_environment: Any,
    pictures: dict[str, bytes],
    repository: Path,
) -> None:
    server_environment.setenv(HOSTS, web.authority)
    s3.put_object(Bucket="bucket", Key="trainings/robot.zip", Body=zipped(pictures))
    request = asked | {
        "profile": "smoke",
        "instance_images": "s3://bucket/trainings/robot.zip",
        "output": "s3://bucket/trainings/results",
        "webhook": f"{web.url}/hook",
        "gallery_prompts": ["a photo of sks robot", "a sks robot in the snow"],
        "num_gallery_images": 2,
        "num_blocks": 8,
    }
    state = training(request, return_state=True)
    assert state.is_completed(), state.message
    [event] = told(web)
    result = event["result"]
    assert (event["type"], event["status"], event["id"]) == ("training.completed", "completed", result["id"])
    assert json.loads(read_remote(f"{result['address']}/result.json")) == result
    names = set(result["files"])
    assert {"adapter/adapter_config.json", "adapter.safetensors", "gallery/index.html"} <= names
    assert len([name for name in names if name.startswith("gallery/pictures/")]) == 4
    config = json.loads(read_remote(f"{result['adapter']}/adapter_config.json"))
    assert (config["peft_type"], config["r"]) == ("OFT", 8)
    page = read_remote(result["gallery"]).decode()
    assert page.count("<img ") == 4 and "a sks robot in the snow" in page
    assert read_remote(result["grid"]).startswith(b"\x89PNG")
    assert result["metrics"]["num_images"] == 4
    assert not list((repository / ".trainings").iterdir())
    shown = artifacts(result["id"])
    assert shown["training-gallery"].startswith("data:image/jpeg;base64,")
    assert result["gallery"] in shown["training-result"]
    assert shown["training-webhook"].startswith("Delivered")


CAPTIONED: list[tuple[Asked, str, set[str]]] = [
    (
        {
            "kind": "style",
            "caption_template": "{caption}, ink",
            "gallery_prompts": ["a cat", "a dog, in ink"],
        },
        "a dog, in ink",
        {"adapter/adapter_config.json", "adapter.safetensors"},
    ),
    (
        {"kind": "control", "condition": "given", "gallery_conditions": "edges.zip", "adapter": "controlnet"},
        "a red house",
        {"adapter/config.json"},
    ),
]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("own", "prompt", "files"), CAPTIONED, ids=["style", "control"])
def test_styles_and_conditions_are_trained_and_shown_as_subjects_are(
    own: Asked, prompt: str, files: set[str], repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "trainings").mkdir()
    lines = [
        {"file_name": f"{n}.png", "text": f"thing {n}", "conditioning_image": f"e/{n}.png"} for n in range(4)
    ]
    listed = {f"{folder}{n}.png": picture(n) for folder in ("", "e/") for n in range(4)}
    listed["metadata.jsonl"] = "\n".join(map(json.dumps, lines)).encode()
    (tmp_path / "trainings" / "pairs.zip").write_bytes(zipped(listed))
    edges = {"a.png": picture(8), "a.txt": b"a red house"}
    (tmp_path / "trainings" / "edges.zip").write_bytes(zipped(edges))
    request = {"images": "pairs.zip", "output": "results", "profile": "smoke", "num_gallery_images": 2, **own}
    result = obtain(request)
    folder = Path(result["address"])
    assert files <= set(result["files"]) and {"gallery/index.html", "gallery/grid.png"} <= set(
        result["files"]
    )
    described = read_json(folder / "gallery" / "prompts.json")
    page = (folder / "gallery" / "index.html").read_text(encoding="utf-8")
    assert prompt in page and any(prompt in entry["prompt"] for entry in described.values())
    # Of one condition or prompt there are two pictures.
    prompts = [entry["prompt"] for entry in described.values()]
    assert all(prompts.count(each) == 2 for each in prompts)
    assert all(("condition" in entry) == (own["kind"] == "control") for entry in described.values())
    assert result["metrics"]["num_images"] == (2 if own["kind"] == "control" else 4)
    assert result["request"]["kind"] == own["kind"]
