"""The result of a training: the exported adapter, the gallery, and result.json with every hash."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.requests.addresses import parse_any_endpoint
from flows.requests.gallery import write_gallery
from flows.requests.kinds import CommonRequest
from oft.adapters.files import HINT_ENCODER_FILE, LORA_FILE
from oft.adapters.registry import recognise
from oft.errors import DataError
from oft.storage import is_remote, read_json, read_remote, sha256_file, write_json

RESULT = "result.json"
ADAPTER = "adapter"
DELTA = "adapter.safetensors"


def result_address(output: str, run_id: str) -> str:
    """Return the address of a run's result: a folder of its own below the request's output."""
    return f"{output.rstrip('/')}/{run_id}"


def make_result(
    request: CommonRequest, root: Path, target: Path, log: Callable[[str], None]
) -> tuple[dict[str, Any], bytes]:
    """Write adapter, gallery and metrics of a finished training to ``target``.

    Returns:
        The content of result.json without the run's own (see `write_result`), and a JPEG preview.

    Raises:
        UserError: the adapter cannot be exported.
    """
    from oft.exchange import export_adapter  # imports torch
    from oft.exchange.formats import ExportOptions
    from oft.sampling import task_conditions

    target.mkdir(parents=True)
    adapter, base = root / request.run / "magnitude", root / "data" / "models" / "base"
    method = recognise(adapter)
    if method.has_peft_form:
        elsewhere = ExportOptions(local_base=False)  # the folder of a base on this machine says nothing there
        notes = export_adapter(adapter, base, target / ADAPTER, "peft", options=elsewhere)
    else:
        shutil.copytree(adapter, target / ADAPTER, copy_function=shutil.copyfile)
        notes = []
    for name in (LORA_FILE, HINT_ENCODER_FILE):  # read by diffusers, and by this pipeline
        if (adapter / name).is_file():
            shutil.copyfile(adapter / name, target / ADAPTER / name)
    if method.changes_weights:
        notes += export_adapter(adapter, base, target / DELTA, "delta")
    for note in notes:
        log(note)
    metrics = read_json(root / request.run / "metrics.json")
    write_json(target / "metrics.json", metrics)
    shards = request.shown_conditions
    conditions = task_conditions(root / shards) if shards else {}
    preview = write_gallery(root / request.shown, metrics, request.title, target / "gallery", conditions)
    return {"metrics": metrics, "request": describe_request(request)}, preview


def write_result(
    made: dict[str, Any], target: Path, run_id: str, revision: str, address: str
) -> dict[str, Any]:
    """Write result.json over all files of ``target`` and return its content: addresses, sizes, hashes."""
    files = {
        path.relative_to(target).as_posix(): {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        for path in sorted(target.rglob("*"))
        if path.is_file() and path.name != RESULT
    }
    result = {
        **made,
        "id": run_id,
        "revision": revision,
        "address": address,
        "adapter": f"{address}/{ADAPTER}",
        **({"delta": f"{address}/{DELTA}"} if DELTA in files else {}),
        "gallery": f"{address}/gallery/index.html",
        "grid": f"{address}/gallery/grid.png",
        "files": files,
    }
    write_json(target / RESULT, result)
    return result


def read_result(address: str) -> dict[str, Any]:
    """Return result.json of a published result.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    import json

    if is_remote(address):
        found: dict[str, Any] = json.loads(read_remote(f"{address}/{RESULT}"))
        return found
    path = Path(address) / RESULT
    if not path.is_file():
        raise DataError(f"there is no {path}; the run has not completed, or its result was moved")
    return dict(read_json(path))


def describe_request(request: CommonRequest) -> dict[str, Any]:
    """Return the request without its possible secrets: the query of an address, and the webhook."""
    described = request.model_dump(exclude={"webhook", "output"})
    for key in request.sources:
        if described[key] is not None and "://" in described[key] and not is_remote(described[key]):
            described[key] = parse_any_endpoint(described[key]).shown
    return described
