"""A publication is whole, verified and continued, or it is not taken for one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from oft.cli import app
from oft.errors import DataError
from oft.storage import fetch_folder, plan_publication, publish, publishing, remote
from oft.storage.publishing import ENTRIES, MANIFEST, SENDERS

URL = "s3://bucket/reports/monday"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "report"
    (folder / "grids").mkdir(parents=True)
    (folder / "index.html").write_text("<title>report</title>")
    (folder / "metrics.json").write_text("{}")
    (folder / "grids" / "a.png").write_bytes(bytes(range(256)))
    (folder / ".hidden").write_text("not for others")
    return folder


@pytest.fixture
def puts(s3: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are sent, in order; each request's checksum is that of its body."""
    sent: list[str] = []

    def note(request: Any, **_: Any) -> None:
        body = request.body.read() if hasattr(request.body, "read") else request.body
        if hasattr(request.body, "seek"):
            request.body.seek(0)
        stated = request.headers["x-amz-checksum-sha256"]
        stated = stated.decode() if isinstance(stated, bytes) else stated
        assert stated == base64.b64encode(hashlib.sha256(body).digest()).decode()
        sent.append(request.url.partition("/bucket/")[2])

    client = remote._client()
    client.meta.events.register("before-send.s3.PutObject", note)
    client.meta.events.register("before-send.s3.UploadPart", note)
    return sent


def read_all(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_folder_arrives_as_it_is_with_what_browsers_need(
    folder: Path, puts: list[str], s3: Any, tmp_path: Path
) -> None:
    gone: list[int] = []
    plan = plan_publication(folder, f"{URL}/")
    publish(plan, gone.append)
    assert sum(gone) == plan.missing_bytes == sum(map(len, read_all(folder).values()))
    kinds = {
        key: s3.head_object(Bucket="bucket", Key=f"reports/monday/{key}")["ContentType"]
        for key in ("index.html", "metrics.json", "grids/a.png")
    }
    assert kinds == {
        "index.html": "text/html; charset=utf-8",
        "metrics.json": "application/json",
        "grids/a.png": "image/png",
    }
    # Entries after the rest, the manifest last.
    assert [Path(key).name for key in puts[-2:]] == ["index.html", MANIFEST]
    assert fetch_folder(URL, tmp_path / "copy") == sorted(read_all(folder))
    assert read_all(tmp_path / "copy") == read_all(folder)


def test_what_is_there_is_not_sent_again(folder: Path, puts: list[str]) -> None:
    publish(plan_publication(folder, URL))
    puts.clear()
    plan = plan_publication(folder, URL)
    assert not plan.missing and len(plan.kept) == 3
    publish(plan)
    assert puts == []
    # Of equal size, with other bytes.
    (folder / "grids" / "a.png").write_bytes(bytes(range(255, -1, -1)))
    publish(plan_publication(folder, URL))
    assert [Path(key).name for key in puts] == ["a.png", MANIFEST]


def test_a_file_is_published_under_its_name(folder: Path, s3: Any) -> None:
    publish(plan_publication(folder / "index.html", URL))
    assert (
        s3.get_object(Bucket="bucket", Key="reports/monday/index.html")["Body"].read()
        == b"<title>report</title>"
    )
    with pytest.raises(DataError, match="no whole folder is published there"):
        fetch_folder(URL, folder / "copy")


def test_large_files_go_in_parts_each_with_its_checksum(tmp_path: Path, puts: list[str], s3: Any) -> None:
    large = tmp_path / "adapter.safetensors"
    large.write_bytes(bytes(20 << 20))
    publish(plan_publication(large, "s3://bucket"))
    assert len(puts) == 3
    assert s3.head_object(Bucket="bucket", Key="adapter.safetensors")["ContentLength"] == 20 << 20
    assert not plan_publication(large, "s3://bucket").missing


def test_an_interrupted_publication_is_no_folder_and_goes_on(
    folder: Path, puts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = remote.send_remote
    for name in [*ENTRIES, MANIFEST]:

        def interrupted(source: Path, url: str, *, stop: str = name, **stated: Any) -> None:
            if url.endswith(f"/{stop}"):
                raise DataError("the line was cut")
            send(source, url, **stated)

        monkeypatch.setattr(publishing, "send_remote", interrupted)
        if name == MANIFEST or (folder / name).exists():
            with pytest.raises(DataError, match="the line was cut"):
                publish(plan_publication(folder, URL))
            with pytest.raises(DataError, match=rf"no whole folder is published there \({MANIFEST}"):
                fetch_folder(URL, tmp_path / "copy")
            assert not (tmp_path / "copy").exists()
    monkeypatch.setattr(publishing, "send_remote", send)
    puts.clear()
    publish(plan_publication(folder, URL))
    assert [Path(key).name for key in puts] == [MANIFEST]
    fetch_folder(URL, tmp_path / "copy")


def test_a_mixture_of_two_versions_is_refused(folder: Path, s3: Any, tmp_path: Path) -> None:
    publish(plan_publication(folder, URL))
    s3.put_object(Bucket="bucket", Key="reports/monday/metrics.json", Body=b"[]")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "before").touch()
    with pytest.raises(DataError, match=r"metrics\.json is not what published\.json there says"):
        fetch_folder(URL, tmp_path / "copy")
    assert list(read_all(tmp_path / "copy")) == ["before"]


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped", "", "a\\b", "a\0b"])
def test_a_manifest_cannot_write_outside_its_folder(name: str, s3: Any, tmp_path: Path) -> None:
    listed = {"files": {name: {"size_bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}}}
    s3.put_object(Bucket="bucket", Key=f"reports/monday/{MANIFEST}", Body=json.dumps(listed))
    with pytest.raises(DataError, match="outside its folder; nothing was fetched"):
        fetch_folder(URL, tmp_path / "copy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"files": {"a": 1}}', b'{"files": [1]}', b"\xff"])
def test_a_manifest_of_another_kind_is_named(content: bytes, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="bucket", Key=f"reports/monday/{MANIFEST}", Body=content)
    with pytest.raises(DataError, match="is no manifest of `oft publish`"):
        fetch_folder(URL, tmp_path / "copy")


def spoil_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "grids")


def spoil_name(folder: Path) -> None:
    (folder / MANIFEST).touch()


def spoil_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def spoil_folder(folder: Path) -> None:
    spoil_all(folder)
    folder.rmdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_link, "links to a folder or to nothing"),
        (spoil_name, "this name is kept for the manifest"),
        (spoil_all, "is empty: there is nothing to publish"),
        (spoil_folder, "is no file or folder"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_sent(
    spoil: Callable[[Path], None], said: str, folder: Path, s3: Any
) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=said):
        plan_publication(folder, URL)
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")


def test_a_file_that_changes_meanwhile_is_no_publication(folder: Path, s3: Any, tmp_path: Path) -> None:
    plan = plan_publication(folder, URL)
    (folder / "metrics.json").write_text("[1, 2, 3]")
    with pytest.raises(DataError, match="changed while it was sent"):
        publish(plan)
    with pytest.raises(DataError, match="no whole folder"):
        fetch_folder(URL, tmp_path / "copy")


def test_faults_of_the_bucket_say_what_could_not_be_written(
    folder: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_publication(folder, URL)
    with pytest.raises(DataError, match="there is no such object or bucket"):
        plan_publication(folder, "s3://no-bucket/a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DataError, match="cannot be written: EndpointConnectionError; check the network"):
        publish(plan)


def test_the_commands_publish_and_fetch(folder: Path, s3: Any, tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["publish", str(folder), URL])
    assert shown.exit_code == 0 and shown.stdout == f"{URL}: 3 files sent, 0 were there\n"
    shown = runner.invoke(app, ["publish", str(folder), URL])
    assert shown.stdout == f"{URL}: 0 files sent, 3 were there\n"
    copy = tmp_path / "copy"
    shown = runner.invoke(app, ["fetch", URL, str(copy)])
    assert shown.exit_code == 0 and shown.stdout == f"{copy}: 3 files\n"
    shown = runner.invoke(app, ["fetch", URL, str(copy)])
    assert "exists; name a folder that does not" in str(shown.exception)


def test_files_go_side_by_side(tmp_path: Path, puts: list[str]) -> None:
    for number in range(3 * SENDERS):
        (tmp_path / f"{number}.txt").write_text(str(number))
    publish(plan_publication(tmp_path, URL))
    assert len(puts) == len(set(puts)) == 3 * SENDERS + 1
