"""What tests of several folders share: root, settings, the miniature base, small shards, a loopback S3."""

from __future__ import annotations

import tests.shapes  # noqa: F401, it has signatures checked of what is imported from here on

# isort: split
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch

from oft.models.base import place_base
from oft.parallel import WORKERS
from oft.params import Params, parse_params
from oft.profiles import compose_profile
from oft.settings.data import Dataset
from oft.shards.shards import pack_sample, write_shards
from oft.storage import dump_yaml, load_yaml
from oft.types import Split

pytest_plugins = ["tests.layouts"]

# Of a job in a script's background the shell has Ctrl-C ignored, by all that the tests start too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
SIZE_PX = 64


LONG = ("test_end_to_end.py", "flows/requests/test_flow.py", "faults", "flows", "stages/launch")
"""Files and folders of tests that take longest, the longest first: most of their time goes to processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let files that take minutes begin first: at the end, one alone would keep a worker busy."""

    def place(item: pytest.Item) -> int:
        ranks = (rank for rank, part in enumerate(LONG) if item.path.is_relative_to(ROOT / "tests" / part))
        return next(ranks, len(LONG))

    items.sort(key=place)


def clone_repository(
    folder: Path, profile: str, edit: Callable[[dict[str, Any]], object] = lambda _: None
) -> Path:
    """Make ``folder`` a checkout of the files that git tracks or would track, with a profile's settings.

    Args:
        edit: changes the settings in place; they are written without comments, since DVC reads them for each
            stage.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    settings = compose_profile(folder / "conf", profile)
    edit(settings)
    parse_params(settings)
    (folder / "params.yaml").write_text(dump_yaml(settings), encoding="utf-8")
    (folder / "dvc.lock").unlink(missing_ok=True)
    # DVCLive asks for the commit it runs at.
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for arguments in (
        ["init", "--quiet"],
        ["-c", "core.compression=0", "add", "."],
        [*author, "commit", "--quiet", "--message", "clone"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _site_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """DVC's site cache goes with the tests; its own default, /var/tmp/dvc, is everybody's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site-cache")))
        yield


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shared among processes but where a test asks for it: starting them takes a second here."""
    monkeypatch.setenv(WORKERS, "1")


@pytest.fixture
def values() -> dict[str, Any]:
    """The default settings as plain values, free to change."""
    loaded: dict[str, Any] = load_yaml((ROOT / "conf" / "defaults.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def params(values: dict[str, Any]) -> Params:
    """The default settings."""
    return parse_params(values)


def dataset(
    reader: str = "ade20k",
    *,
    num_train_images: int = 0,
    num_val_images: int = 0,
    fit: str = "crop",
    flip: bool = False,
    captions: str = "own",
    rule: str = "all",
    template: str = "{caption}",
) -> Dataset:
    """Settings of a data set that is read whole, with its own captions, but for what is given."""
    return Dataset.model_validate(
        {
            "reader": reader,
            "num_train_images": num_train_images,
            "num_val_images": num_val_images,
            "acquire": {"source": "own", "mirror": None, "accept_licence": False},
            "prepare": {"fit": fit, "flip": flip},
            "captions": {"source": captions, "rule": rule, "template": template},
        }
    )


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature base that ships with the repository, placed as the stage ``base`` places it."""
    folder = tmp_path_factory.mktemp("models") / "base"
    place_base(ROOT / "data" / "models" / "miniature" / "base", folder, "miniature")
    return folder


@pytest.fixture(scope="session")
def shards_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of eight training and four validation samples of a task with a condition."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    sizes: dict[Split, int] = {"train": 8, "val": 4}
    for split, count in sizes.items():
        samples = [
            pack_sample(
                f"{split}{index}",
                rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8),
                condition=rng.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8),
                labels=rng.integers(0, 25, (SIZE_PX, SIZE_PX), dtype=np.uint8),
                meta={"captions": ["a red house", "a house"]},
            )
            for index in range(count)
        ]
        write_shards(samples, folder, split, 4)
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """boto3's client of that server, with one empty bucket, ``bucket``; the environment leads there too."""
    import boto3

    settings = {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    requests.post(f"{s3_endpoint}/moto-api/reset", timeout=10).raise_for_status()
