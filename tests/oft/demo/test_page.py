"""The page, served as `make demo` serves it, where Gradio is installed (requirements/demo.txt)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from oft.cli import app
from oft.generation.png import read_settings
from oft.pictures import decode_rgb
from tests.conftest import ROOT, SIZE_PX

pytest.importorskip("gradio")

START_SECONDS = 300
PROMPT = "a red house"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@dataclass
class Served:
    """A page that runs.

    Attributes:
        files: the folder of what it writes.
    """

    process: subprocess.Popen[bytes]
    address: str
    files: Path


def start(root: Path, files: Path) -> Served:
    files.mkdir()
    log = files.with_name("log")
    # As a person starts it: how many threads there are must not matter.
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with log.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "oft.demo", "--port", "0"],
            cwd=root,
            env={**environment, "PYTHONPATH": str(ROOT), "TMPDIR": str(files), "PYTHONUNBUFFERED": "1"},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(START_SECONDS * 10):
            if found := re.search(r"http://\S+", log.read_text()):
                return Served(process, found[0], files)
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"the page has not started within {START_SECONDS} s: {log.read_text()}")
    except BaseException:
        process.kill()
        process.wait()
        raise


def stop(served: Served, with_signal: signal.Signals) -> int:
    served.process.send_signal(with_signal)
    try:
        return served.process.wait(timeout=60)
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture(scope="module")
def page(run_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start(run_root, tmp_path_factory.mktemp("served") / "files")
    yield served
    assert stop(served, signal.SIGTERM) == 130
    assert not list(served.files.iterdir())  # what was uploaded and drawn is gone


def call(page: Served, name: str, data: list[Any]) -> tuple[str, str]:
    """Call the page as its own browser side does; return the last event and its data."""
    joined = requests.post(f"{page.address}gradio_api/call/{name}", json={"data": data}, timeout=60)
    joined.raise_for_status()
    event = joined.json()["event_id"]
    answer = requests.get(f"{page.address}gradio_api/call/{name}/{event}", timeout=300)
    events = re.findall(r"event: (\w+)\ndata: (.*)", answer.text)
    *_, last = [each for each in events if each[0] in ("complete", "error", "generating")]
    if last[0] == "complete":  # says nothing new where a generator ends
        *_, last = [each for each in events if each[0] in ("generating", "complete") and each[1] != "null"]
    return last[0], last[1]


def fields(columns: dict[str, list[str]], **changes: Any) -> list[Any]:
    """The fields of the page, in its order."""
    values: dict[str, Any] = {
        "prompt": PROMPT,
        "negative_prompt": "",
        "base_alone": True,
        "strength": 1,
        "seed": 7,
        "number": 1,
        "steps": 3,
        "guidance": 3,
        "source": "none",
        "sketch": None,
        "upload": None,
        "extraction": "canny",
    }
    assert changes.keys() <= values.keys()
    tasks = ("segm_ade20k", "canny_coco", "subject_robot_toy")  # in the order of params.yaml
    return [*(values | changes).values(), *(columns.get(task, []) for task in tasks)]


def upload(page: Served, file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        answer = requests.post(f"{page.address}gradio_api/upload", files={"files": stream}, timeout=60)
    answer.raise_for_status()
    return file_data(answer.json()[0])


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.full((SIZE_PX, SIZE_PX, 3), 220, np.uint8)
    pixels[16:40, 20:50] = (200, 30, 30)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def command(*arguments: object) -> dict[int, np.ndarray]:
    """Pixels that `oft generate` draws with these arguments, by seed."""
    outcome = CliRunner().invoke(
        app, ["generate", PROMPT, "--seed", "7", "--steps", "3", "-n", "2", *map(str, arguments)],
        catch_exceptions=False,
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    made = [Path(line) for line in outcome.stdout.splitlines() if not line.endswith("-sheet.png")]
    return {read_settings(path)["seed"]: decode_rgb(path.read_bytes()) for path in made}


def test_pictures_are_those_of_the_command(page: Served, run: Path, photo: Path, tmp_path: Path) -> None:
    columns = {"canny_coco": ["canny_coco / oft"], "subject_robot_toy": ["subject_robot_toy / lora"]}
    event, data = call(
        page,
        "draw",
        fields(columns, number=2, source="picture", upload=upload(page, photo), extraction="canny"),
    )
    assert event != "error", data
    gallery = json.loads(data)[0]
    items = gallery["value"] if isinstance(gallery, dict) else gallery
    out = ["--out", tmp_path / "out"]
    expected = {
        "base alone": command(*out),
        "canny_coco / oft": command(
            *(*out, "--adapter", "runs/canny_coco/oft/magnitude", "--condition", photo, "--extract", "canny")
        ),
        "subject_robot_toy / lora": command(*out, "--adapter", "runs/subject_robot_toy/lora/magnitude"),
    }
    assert [item["caption"] for item in items] == [
        f"{label}, seed {seed}" for seed in (7, 8) for label in expected
    ]
    for place, item in enumerate(items):
        file = tmp_path / f"{place}.png"
        file.write_bytes(requests.get(item["image"]["url"], timeout=60).content)
        label, _, seed = item["caption"].rpartition(", seed ")
        settings = read_settings(file)
        assert (settings["prompt"], settings["seed"]) == (PROMPT, int(seed))
        assert len(settings["adapters"]) == (label != "base alone")
        assert np.array_equal(decode_rgb(file.read_bytes()), expected[label][int(seed)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": ""}, "prompt: there is nothing to draw"),
        ({"base_alone": False}, "columns: there is nothing to draw with"),
        ({"guidance": 1, "negative_prompt": "rain"}, "negative_prompt"),
        ({"source": "picture"}, "none of the chosen adapters"),
    ],
)
def test_mistakes_are_messages(page: Served, changes: dict[str, Any], message: str) -> None:
    event, data = call(page, "draw", fields({}, **changes))
    assert event == "error"
    assert message in data
    assert "Traceback" not in data


def test_what_is_no_picture_is_a_message(page: Served, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    sent = upload(page, tmp_path / "mine.png")
    event, data = call(
        page, "draw", fields({"canny_coco": ["canny_coco / oft"]}, source="picture", upload=sent)
    )
    assert (event, "mine.png: unreadable" in data) == ("error", True), data


def test_only_what_was_uploaded_is_read_and_only_what_was_drawn_is_served(
    page: Served, run_root: Path, photo: Path
) -> None:
    for path in (str(photo), str(run_root / "params.yaml"), "params.yaml", "/etc/hostname"):
        event, data = call(
            page,
            "draw",
            fields({"canny_coco": ["canny_coco / oft"]}, source="picture", upload=file_data(path)),
        )
        assert event == "error"
        assert "Traceback" not in data
        assert requests.get(f"{page.address}gradio_api/file={path}", timeout=60).status_code in (403, 404)


def test_it_listens_on_this_machine_alone(page: Served) -> None:
    import psutil

    listening = [
        connection.laddr.ip
        for connection in psutil.Process(page.process.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]
    assert page.address.startswith("http://127.0.0.1:")


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
def test_a_browser_draws(page: Served, tmp_path: Path) -> None:
    messages: list[str] = []
    addresses: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(accept_downloads=True, viewport={"width": 1400, "height": 1000})
        tab.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda fault: messages.append(str(fault)))
        tab.on("request", lambda request: addresses.append(request.url))
        tab.goto(page.address)
        tab.get_by_label("Prompt", exact=True).fill(PROMPT)
        tab.get_by_label("lora", exact=True).uncheck()
        tab.get_by_label("oft (takes canny)").check()
        tab.get_by_label("sketch", exact=True).check()
        canvas = tab.locator("canvas").first
        canvas.scroll_into_view_if_needed()
        tab.wait_for_timeout(2000)  # the canvas is made over several frames
        box = canvas.bounding_box()
        assert box is not None
        tab.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=10)
        tab.mouse.up()
        tab.get_by_role("button", name="Draw", exact=True).click()
        link = tab.get_by_role("link", name=re.compile("KB")).nth(1)
        link.wait_for(timeout=120_000)
        with tab.expect_download() as download:
            link.click()
        download.value.save_as(tmp_path / "downloaded.png")
        widths = tab.eval_on_selector_all("img[src*='seed-0']", "all => all.map(one => one.naturalWidth)")
        browser.close()
    assert widths == [SIZE_PX, SIZE_PX]
    settings = read_settings(tmp_path / "downloaded.png")
    assert settings["adapters"][0]["path"] == "runs/canny_coco/oft/magnitude"
    assert "condition_sha256" in settings
    assert not messages
    assert not [one for one in addresses if not one.startswith((page.address, "data:", "blob:"))]
