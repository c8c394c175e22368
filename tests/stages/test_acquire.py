"""The stage places a data set from each kind of source."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oft.acquire.sources import SOURCES
from oft.errors import DataError, ParamsError
from oft.storage import dump_yaml
from stages import acquire
from stages.launch import paths


@pytest.fixture
def write_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> Any:
    """Returns a function that writes params.yaml with other ``acquire`` settings of data set dreambooth."""
    monkeypatch.chdir(tmp_path)

    def write(**changes: Any) -> None:
        values["datasets"]["dreambooth"]["acquire"] |= changes
        Path("params.yaml").write_text(dump_yaml(values))

    return write


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """The address of a folder with a small archive in google/dreambooth's layout."""
    (archive,) = SOURCES["dreambooth"].archives
    (tmp_path / "mirror").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "00.jpg")
    with zipfile.ZipFile(tmp_path / "mirror" / archive.name, "w") as packed:
        packed.write(tmp_path / "00.jpg", f"{archive.top}/dataset/dog/00.jpg")
    return (tmp_path / "mirror").as_uri()


def test_what_was_downloaded_is_not_fetched_again(write_params: Any, mirror: str) -> None:
    write_params(source="download", mirror=mirror, accept_licence=True)
    acquire.main(["--dataset", "dreambooth"])
    write_params(mirror="file:///nowhere")
    acquire.main(["--dataset", "dreambooth"])
    assert [path.name for path in Path("data/raw/dreambooth").rglob("*.jpg")] == ["00.jpg"]
    assert json.loads(Path("data/raw/dreambooth.counts.json").read_text())["train"]["kept"] == 1


def test_a_download_of_another_layout_is_kept_and_told(
    write_params: Any, mirror: str, tmp_path: Path
) -> None:
    (archive,) = SOURCES["dreambooth"].archives
    with zipfile.ZipFile(tmp_path / "mirror" / archive.name, "w") as packed:
        packed.writestr(f"{archive.top}/dataset/README.md", "moved")
    write_params(source="download", mirror=mirror, accept_licence=True)
    with pytest.raises(DataError, match="no usable picture"):
        acquire.main(["--dataset", "dreambooth"])
    assert (paths.downloads("dreambooth") / archive.name).is_file()


def test_without_the_licence_nothing_happens(write_params: Any, mirror: str) -> None:
    write_params(source="download", mirror=mirror)
    with pytest.raises(ParamsError, match=r"datasets\.dreambooth\.acquire\.accept_licence: .*\(CC-BY-4\.0"):
        acquire.main(["--dataset", "dreambooth"])
    assert not Path("data").exists() and not paths.DOWNLOADS.exists()


def test_a_prefix_on_s3_is_copied(write_params: Any, s3: Any, tmp_path: Path, mirror: str) -> None:
    picture = (tmp_path / "00.jpg").read_bytes()
    s3.put_object(Bucket="bucket", Key="mine/dataset/dog/00.jpg", Body=picture)
    write_params(source="s3://bucket/mine")
    acquire.main(["--dataset", "dreambooth"])
    assert Path("data/raw/dreambooth/dataset/dog/00.jpg").read_bytes() == picture
