"""Files of a run as values: what is missing or damaged becomes a note for the page, never an error.

A report is asked for most when something went wrong, so nothing here may stop it. Notes name files relative
to the run's folder: the page says nothing about the machine.
"""

from __future__ import annotations

import csv
import io
import json
import math
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oft.errors import UserError
from oft.prepare.card_text import CARD_NAME, describe_card
from oft.report.glossary import ANGLE_COLUMNS
from oft.report.results import (
    AnglesResults,
    ConfusionCell,
    CountsRow,
    Curve,
    Note,
    Picture,
    PictureScores,
    Piece,
    StageTelemetry,
    number,
)
from oft.shards.shards import Sample, num_samples, read_index, read_shards
from oft.storage import flatten, read_json
from oft.types import SPLITS, Request, Split

_TAR_END_BYTES = 1024

SampleKey = tuple[str, int]
"""Key of the condition or prompt, and which repeat of it."""


@dataclass(frozen=True)
class StoredOutput:
    """Where a generated picture lies in its archive, and what it was drawn for."""

    archive: Path
    offset_bytes: int
    size_bytes: int
    request: Request


def absent(name: str, stage: str) -> str:
    """Return the sentence about a file that is not there."""
    return f"{name} is not there; the stage “{stage}” writes it."


def damaged(name: str, fault: str) -> str:
    """Return the sentence about a file that cannot be read."""
    return f"{name} is there but cannot be read: {fault}."


def read_mapping(root: Path, name: str, stage: str, piece: Piece, notes: list[Note]) -> dict[str, Any]:
    """Return a JSON file's mapping, {} and a note where there is none."""
    value = _read_json(root, name, stage, piece, notes)
    if value is not None and not isinstance(value, dict):
        notes.append(Note(piece, damaged(name, "it does not hold named values")))
    return value if isinstance(value, dict) else {}


def read_records(root: Path, name: str, stage: str, piece: Piece, notes: list[Note]) -> list[dict[str, Any]]:
    """Return a JSON file's list of mappings, [] and a note where there is none."""
    value = _read_json(root, name, stage, piece, notes)
    is_valid = isinstance(value, list) and all(isinstance(record, dict) for record in value)
    if value is not None and not is_valid:
        notes.append(Note(piece, damaged(name, "it does not hold a list of named values")))
    return value if is_valid else []


def read_metrics(root: Path, name: str, stage: str, piece: Piece, notes: list[Note]) -> dict[str, Any]:
    """Return the values of a JSON file, nested keys joined by a point."""
    return flatten(read_mapping(root, name, stage, piece, notes))


def read_confusion(root: Path, name: str, notes: list[Note]) -> tuple[ConfusionCell, ...]:
    """Return the cells of a confusion table; those without a share are left out."""
    cells = []
    for record in read_records(root, name, "evaluate", "confusion", notes):
        match record:
            case {"actual": actual, "predicted": predicted, "share": share} if number(share) is not None:
                cells.append(ConfusionCell(str(actual), str(predicted), float(share)))
    return tuple(cells)


def read_scores(root: Path, name: str, piece: Piece, notes: list[Note]) -> tuple[PictureScores, ...]:
    """Return the scores of each picture; those of no known picture are left out."""
    pictures = []
    for record in read_records(root, name, "evaluate", piece, notes):
        match record:
            case {"key": key, "index": int(index), **values}:
                scores = {
                    score: found for score, value in values.items() if (found := number(value)) is not None
                }
                pictures.append(PictureScores(str(key), index, scores))
    return tuple(pictures)


def read_class_pixels(
    root: Path, name: str, notes: list[Note]
) -> dict[SampleKey, dict[str, dict[int, tuple[int, int, int]]]]:
    """Return the pixels by class of each picture and of what it is compared with; {} where there are none."""
    pictures = {}
    for record in read_records(root, name, "evaluate", "intervals", notes):
        try:
            picture = str(record["key"]), int(record["index"])
            pictures[picture] = {
                part: {int(index): _three_counts(counts) for index, counts in classes.items()}
                for part, classes in record.items()
                if part not in ("key", "index")
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            notes.append(Note("intervals", damaged(name, f"{type(error).__name__} {error}")))
            return {}
    return pictures


def read_counts(
    root: Path, stage: str, folder: str, of: str, title: str, notes: list[Note]
) -> list[CountsRow]:
    """Return what a stage saw, kept and dropped of a data set or task, a row for each split."""
    name = f"{folder}/{of}.counts.json"
    by_split = read_mapping(root, name, stage, "counts", notes)
    rows = []
    for split in sorted(by_split, key=lambda s: (SPLITS.index(s) if s in SPLITS else len(SPLITS), s)):
        match by_split[split]:
            case {
                "seen": int(seen),
                "kept": int(kept),
                "dropped": dict(dropped),
                "offenders": dict(offenders),
            }:
                rows.append(
                    CountsRow(
                        stage,
                        of,
                        title,
                        split,
                        seen,
                        kept,
                        dict(sorted(dropped.items())),
                        {reason: tuple(names) for reason, names in sorted(offenders.items())},
                    )
                )
            case _:
                notes.append(Note("counts", damaged(name, f"of {split} it does not hold what was counted")))
    return rows


def read_telemetry(root: Path) -> list[StageTelemetry]:
    """Return what every ``.telemetry/<stage>.json`` holds, sorted by name; [] where there are none.

    The values vary from run to run, so they are no part of a `ReportData`.
    """
    ignored: list[Note] = []
    found = []
    for path in sorted((root / ".telemetry").glob("*.json")):
        values = read_metrics(root, path.relative_to(root).as_posix(), "", "metrics", ignored)
        if values:
            found.append(StageTelemetry(path.stem, values))
    return found


def read_curves(root: Path, folder: str, phase: str, notes: list[Note]) -> tuple[Curve, ...]:
    """Return every curve below ``<folder>/dvclive/plots/metrics``, sorted by name.

    A file has a column ``step`` and one with the value; rows without two finite numbers are left out.
    """
    top = root / folder / "dvclive" / "plots" / "metrics"
    curves = []
    for path in sorted(top.rglob("*.tsv")):
        name = path.relative_to(top).with_suffix("").as_posix()
        try:
            points = list(_read_points(path.read_text(encoding="utf-8"), path.stem))
        except (OSError, ValueError, csv.Error) as error:
            notes.append(Note("curves", damaged(path.relative_to(root).as_posix(), _fault(root, error))))
            continue
        if points:
            steps, values = zip(*points, strict=True)
            curves.append(Curve(phase, name, steps, values))
    return tuple(curves)


def index_samples(
    root: Path, folder: str, num_shards: int, notes: list[Note]
) -> dict[SampleKey, StoredOutput]:
    """Return where each generated picture lies in the archives of a folder; no picture is read yet.

    Archives from ``num_shards`` on are what a run in more shards left behind.
    """
    found: dict[SampleKey, StoredOutput] = {}
    for archive in sorted((root / folder).glob("*.tar")):
        if archive.stem.isdecimal() and int(archive.stem) >= num_shards:
            continue
        name = archive.relative_to(root).as_posix()
        pictures: dict[str, tuple[int, int]] = {}
        requests: dict[str, Request] = {}
        try:
            _read_members(archive, pictures, requests)
        except (OSError, ValueError, EOFError, tarfile.TarError) as error:
            notes.append(Note("samples", damaged(name, _fault(root, error))))
        for stem, (offset_bytes, size_bytes) in pictures.items():
            if request := requests.get(stem):
                found[request.key, request.index] = StoredOutput(archive, offset_bytes, size_bytes, request)
        if unmatched := len(pictures) - sum(stem in requests for stem in pictures):
            notes.append(
                Note("samples", f"{name}: {unmatched} pictures without a readable json file are left out.")
            )
    return dict(sorted(found.items()))


def read_output(root: Path, stored: StoredOutput, notes: list[Note]) -> Picture | None:
    """Return a generated picture, None and a note where its bytes are no picture."""
    with stored.archive.open("rb") as stream:
        stream.seek(stored.offset_bytes)
        picture = decode_picture(stream.read(stored.size_bytes))
    if picture is None:
        name = stored.archive.relative_to(root).as_posix()
        notes.append(Note("samples", damaged(f"A picture in {name}", "its bytes are no whole picture")))
    return picture


def decode_picture(data: bytes | None) -> Picture | None:
    """Return encoded bytes as RGB, None where there are none or they are no whole picture."""
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def read_angles(root: Path, notes: list[Note]) -> AnglesResults | None:
    """Return the experiment with angles, None where it was not run; what is damaged becomes a note."""
    folder = "runs/angles"
    if not any((root / folder / name).is_file() for name in ("metrics.json", "grid.png")):
        return None
    metrics = read_mapping(root, f"{folder}/metrics.json", "angles", "angles", notes)
    name = f"{folder}/grid.png"
    if not (root / name).is_file():
        notes.append(Note("angles", absent(name, "angles")))
        return AnglesResults(metrics, ())
    grid = decode_picture((root / name).read_bytes())
    num_columns = len(ANGLE_COLUMNS)
    side_px = 0 if grid is None else grid.shape[1] // num_columns
    if grid is None or not side_px or grid.shape[1] % num_columns or grid.shape[0] % side_px:
        notes.append(Note("angles", damaged(name, f"it is no picture of {num_columns} columns of squares")))
        return AnglesResults(metrics, ())
    cells = grid.reshape(-1, side_px, num_columns, side_px, 3).swapaxes(1, 2)
    return AnglesResults(metrics, tuple(tuple(row) for row in cells))


def count_shard_samples(root: Path, task: str, notes: list[Note]) -> dict[str, int]:
    """Return by split how many samples the shards of a task hold, {} and a note where there are none."""
    folder = f"data/shards/{task}"
    if not (root / folder / "index.json").is_file():
        notes.append(Note("shards", absent(folder, "shard")))
        return {}
    try:
        splits: tuple[Split, ...] = ("train", "val")
        present = read_index(root / folder)["splits"]
        return {split: num_samples(root / folder, split) for split in splits if split in present}
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        notes.append(Note("shards", damaged(folder, _fault(root, error))))
        return {}


def read_card(root: Path, task: str, notes: list[Note]) -> dict[str, str]:
    """Return what the card of a task's shards says, as terms and words, {} and a note where it is no use."""
    name = f"data/shards/{task}/{CARD_NAME}"
    card = read_mapping(root, name, "shard", "shards", notes)
    try:
        return describe_card(card) if card else {}
    except (UserError, AttributeError, KeyError, TypeError, ValueError) as error:
        notes.append(Note("shards", damaged(name, f"{type(error).__name__} {error}")))
        return {}


def read_seen(root: Path, task: str, notes: list[Note]) -> frozenset[str]:
    """Return which keys of a style are those of training pictures, none and a note where it is not known."""
    name = f"data/shards/{task}/prompts.json"
    return frozenset(read_mapping(root, name, "shard", "shards", notes).get("seen", ()))


def read_samples(
    root: Path, task: str, split: Split, keys: Collection[str], notes: list[Note]
) -> dict[str, Sample]:
    """Return the samples with these keys; those that cannot be had are missing, with a note."""
    found: dict[str, Sample] = {}
    if keys:
        try:
            for sample in read_shards(root / "data" / "shards" / task, split, keys=keys):
                found[sample.key] = sample
        except (UserError, OSError, ValueError, tarfile.TarError) as error:
            notes.append(Note("shards", damaged(f"data/shards/{task}", _fault(root, error))))
    return found


def draw_samples(
    root: Path, task: str, split: Split, number: int, rng: np.random.Generator, notes: list[Note]
) -> list[Sample]:
    """Return samples drawn at random, in their order, from as few shards as hold enough, drawn at random."""
    folder = root / "data" / "shards" / task
    try:
        sizes = [int(entry["num_samples"]) for entry in read_index(folder)["splits"][split]["shards"]]
        shards: list[int] = []
        for shard in rng.permutation(len(sizes)).tolist():
            if sum(sizes[other] for other in shards) < number:
                shards.append(shard)
        num_read = sum(sizes[shard] for shard in shards)
        chosen = set(rng.permutation(num_read)[:number].tolist())
        samples = read_shards(folder, split, shards=shards) if shards else iter(())
        return [sample for position, sample in enumerate(samples) if position in chosen]
    except (UserError, OSError, ValueError, KeyError, TypeError, tarfile.TarError) as error:
        notes.append(Note("shards", damaged(f"data/shards/{task}", _fault(root, error))))
        return []


def _three_counts(counts: Any) -> tuple[int, int, int]:
    hits, actual, predicted = (int(count) for count in counts)
    return hits, actual, predicted


def _read_json(root: Path, name: str, stage: str, piece: Piece, notes: list[Note]) -> Any:
    if not (root / name).is_file():
        notes.append(Note(piece, absent(name, stage)))
        return None
    try:
        return read_json(root / name)
    except (OSError, ValueError, RecursionError) as error:
        notes.append(Note(piece, damaged(name, _fault(root, error))))
        return None


def _read_points(text: str, stem: str) -> Iterator[tuple[float, float]]:
    reader = csv.DictReader(io.StringIO(text), delimiter="\t")
    columns = list(reader.fieldnames or ())
    if "step" not in columns or len(columns) < 2:
        raise ValueError("it needs a column “step” and one with the value")
    column = stem if stem in columns else [name for name in columns if name != "step"][-1]
    for row in reader:
        try:
            step, value = float(row["step"]), float(row[column])
        except (TypeError, ValueError):  # a line that a killed run left half-written
            continue
        if math.isfinite(step) and math.isfinite(value):
            yield step, value


def _read_members(archive: Path, pictures: dict[str, tuple[int, int]], requests: dict[str, Request]) -> None:
    """Fill both mappings by the members' stems; what was read before an error stays."""
    with tarfile.open(archive, "r:") as members:
        for member in members:
            stem, _, extension = member.name.rpartition(".")
            if extension == "png" and member.isfile():
                pictures[stem] = (member.offset_data, member.size)
            elif extension == "json" and (stream := members.extractfile(member)) is not None:
                request = _parse_request(stream.read())
                if request is not None:
                    requests[stem] = request
    # An archive cut between two members reads like a whole one but for the empty blocks that end it.
    with archive.open("rb") as raw:
        raw.seek(max(archive.stat().st_size - _TAR_END_BYTES, 0))
        if raw.read().strip(b"\0"):
            raise tarfile.ReadError("it ends early")


def _parse_request(data: bytes) -> Request | None:
    try:
        match json.loads(data):
            case {"key": key, "index": int(index), "prompt": prompt, "seed": int(seed)}:
                return Request(str(key), index, str(prompt), seed)
    except ValueError:
        pass
    return None


def _fault(root: Path, error: Exception) -> str:
    """Return an error's message without the run's folder: pages from two machines are the same."""
    message = str(error).strip().rstrip(".") or type(error).__name__
    for folder in (root.resolve(), root):
        message = message.replace(f"{folder.as_posix()}/", "")
    return message
