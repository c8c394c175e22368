"""Pictures to show: which are kept of a run, and the galleries made of them.

A few conditions (prompts) of each task, chosen at random by its name, the same for every adapter; below each
picture the condition extracted from it once more; and each adapter's worst by the task's score. Files are
lossless WebP in ``<task>/<adapter>/``, with ``pictures.json`` beside them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from experiments.claims.findings import Cell, Facts, Gallery, GalleryRow
from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import SUBJECT
from oft.evaluation.registry import find_metric
from oft.keys import stable_hash
from oft.report.glossary import CONDITIONS, adapter_words
from oft.report.plan import describe_task, num_sample_shards
from oft.report.reading import (
    StoredOutput,
    decode_picture,
    draw_samples,
    index_samples,
    read_card,
    read_output,
    read_samples,
    read_scores,
)
from oft.report.results import Note, Picture
from oft.report.scores import choose_score, lower_is_better
from oft.storage import atomic_folder, read_json, write_json

if TYPE_CHECKING:
    from oft.params import Params

NUM_ROWS = 4
NUM_FAILURES = 2
INDEX = "pictures.json"
GIVEN, TARGET = "given", "target"
Extract = Callable[[Picture], Picture | None]


@dataclass(frozen=True)
class _Shown:
    """One kept picture: its condition's key, which repeat, and its score."""

    key: str
    output: StoredOutput
    score: float | None


def keep_pictures(clone: Path, params: Params, task: str, adapter: str, judges: Path, target: Path) -> None:
    """Write a run's pictures and their index into a folder.

    Args:
        clone: holds the run's ``data`` and ``runs``.
        judges: the networks that extract conditions from pictures; without them those are left out.
        target: where they go.
    """
    notes: list[Note] = []
    stored = index_samples(
        clone, f"runs/{task}/{adapter}/samples", num_sample_shards(task, adapter, params), notes
    )
    scores = read_scores(clone, f"runs/{task}/{adapter}/plots/per_image.json", "failures", notes)
    condition = describe_task(task, params).condition
    metric = choose_score(condition, scores)
    by_picture = {
        (one.key, one.index): one.scores[metric] for one in scores if metric and metric in one.scores
    }
    first = {key: (index, output) for (key, index), output in reversed(stored.items())}
    rng = np.random.default_rng(int(stable_hash(task)[:8], 16))
    keys = [sorted(first)[place] for place in rng.permutation(len(first))[:NUM_ROWS]]
    rows = [_Shown(key, first[key][1], by_picture.get((key, first[key][0]))) for key in keys]
    sign = -1 if metric and lower_is_better(metric) else 1
    worst = sorted(by_picture, key=lambda picture: (sign * by_picture[picture], picture))[:NUM_FAILURES]
    failures = [_Shown(picture[0], stored[picture], by_picture[picture]) for picture in worst]
    if adapter == BASE_ALONE:
        failures = []
    extract = _extractor(judges, params, condition)
    index: dict[str, Any] = {"metric": metric, "card": read_card(clone, task, notes)}
    for kind, shown in (("rows", rows), ("failures", failures)):
        index[kind] = [
            _keep_one(clone, params, task, one, f"{kind}-{place}", extract, target, notes)
            for place, one in enumerate(shown)
        ]
    write_json(target / INDEX, index)


def _keep_one(
    clone: Path,
    params: Params,
    task: str,
    shown: _Shown,
    stem: str,
    extract: Extract,
    target: Path,
    notes: list[Note],
) -> dict[str, Any]:
    """Write one picture with what belongs to it; return its entry in the index."""
    picture = read_output(clone, shown.output, notes)
    given, real = _given(clone, params, task, shown.key, notes)
    found = None if picture is None else extract(picture)
    pictures = {"picture": picture, "found": found, GIVEN: given, TARGET: real}
    entry: dict[str, Any] = {
        "key": shown.key,
        "caption": shown.output.request.prompt,
        "score": shown.score,
    }
    for name, one in pictures.items():
        if one is not None:
            entry[name] = f"{stem}-{name}.webp"
            Image.fromarray(one).save(target / entry[name], lossless=True, method=6)
    return entry


def _given(
    clone: Path, params: Params, task: str, key: str, notes: list[Note]
) -> tuple[Picture | None, Picture | None]:
    """Return the condition and the target of a picture; of a subject one of its own pictures."""
    if describe_task(task, params).condition == SUBJECT:
        drawn = draw_samples(clone, task, "train", 1, np.random.default_rng(0), notes)
        return (decode_picture(drawn[0].image) if drawn else None), None
    for split in ("val", "train"):
        if sample := read_samples(clone, task, split, [key], notes).get(key):
            return decode_picture(sample.condition), decode_picture(sample.image)
    return None, None


def _extractor(judges: Path, params: Params, condition: str) -> Extract:
    """Return what makes the condition of a picture again: edges, or what the task's judge sees in it."""
    if condition == "canny":
        from oft.conditions.canny import extract_canny

        thresholds = params.conditions.canny
        return lambda picture: extract_canny(picture, thresholds.low_threshold, thresholds.high_threshold)
    judged = {"segmentation": "segmenter", "densepose": "part_segmenter"}
    if condition not in judged:
        return lambda picture: None
    folder = judges / judged[condition]
    return _label_extractor(folder, condition) if folder.is_dir() else lambda picture: None


def _label_extractor(judge: Path, condition: str) -> Extract:
    from oft.conditions.densepose import extract_densepose
    from oft.conditions.segmentation import extract_segmentation
    from oft.evaluation.features import load_segmenter
    from oft.evaluation.segmentation import extract_label_maps

    network = load_segmenter(judge)
    # A segmenter of ADE20K predicts 0 to 149 for the ids 1 to 150; body parts are their own ids.
    colour, offset = (extract_densepose, 0) if condition == "densepose" else (extract_segmentation, 1)
    return lambda picture: colour(extract_label_maps(picture[None], network, 1, offset=offset)[0])


def copy_pictures(kept: Path, target: Path) -> None:
    """Put the pictures that were kept of a run into the evidence's folder, whole or not at all."""
    if not (kept / INDEX).is_file():
        return
    with atomic_folder(target) as partial:
        for path in sorted(kept.iterdir()):
            if path.name == INDEX or path.suffix == ".webp":
                shutil.copyfile(path, partial / path.name)


def galleries(folder: Path, params: Params) -> list[Gallery]:
    """Return a hero grid of every task's first row, each task's rows, and each adapter's worst pictures.

    Args:
        folder: of the evidence, with ``pictures/<task>/<adapter>``.
        params: the profile's settings.
    """
    words = adapter_words(params)
    tasks = (*params.control_tasks, *params.subject_tasks, *params.style_tasks)
    found = {task: _read_task(folder, task, list(words)) for task in tasks}
    found = {task: by_adapter for task, by_adapter in found.items() if by_adapter}
    titles = {name: words[name].title for name in words}
    made = [_hero(found, params, titles)] if found else []
    for task, by_adapter in found.items():
        made += _of_task(task, by_adapter, params, titles)
    return made


def cards(folder: Path, params: Params) -> list[Facts]:
    """Return what the card of each task's data says, from the evidence's folder."""
    found = []
    for task in (*params.control_tasks, *params.subject_tasks, *params.style_tasks):
        path = folder / "pictures" / task / BASE_ALONE / INDEX
        if path.is_file() and (card := read_json(path)["card"]):
            title = f"Data: {describe_task(task, params).title(task)}"
            found.append(Facts(f"card-{task}", title, tuple(card.items())))
    return found


Index = Mapping[str, Any]


def _read_task(folder: Path, task: str, adapters: Sequence[str]) -> dict[str, Index]:
    """Return the index of each adapter's pictures, their files relative to the evidence's folder."""
    found: dict[str, Index] = {}
    for adapter in adapters:
        path = folder / "pictures" / task / adapter / INDEX
        if path.is_file():
            start = path.parent.relative_to(folder).as_posix()
            found[adapter] = _with_paths(read_json(path), start)
    return found


def _with_paths(index: Index, start: str) -> dict[str, Any]:
    def entry(one: Mapping[str, Any]) -> dict[str, Any]:
        files = {name: f"{start}/{one[name]}" for name in ("picture", "found", GIVEN, TARGET) if name in one}
        return {**one, **files}

    return {**index, **{kind: [entry(one) for one in index[kind]] for kind in ("rows", "failures")}}


def _hero(found: Mapping[str, Mapping[str, Index]], params: Params, titles: Mapping[str, str]) -> Gallery:
    shown = [BASE_ALONE, "hint", "oft", "coft", "lora"]
    columns = [name for name in shown if any(name in of_task for of_task in found.values())]
    rows = []
    for task, by_adapter in found.items():
        row = _row(0, {name: by_adapter[name] for name in columns if name in by_adapter})
        title = describe_task(task, params).short_title(task)
        # Each task has a metric of its own: side by side their scores would be taken for one.
        cells = {name: replace(cell, score=None) for name, cell in row.cells.items()}
        rows.append(GalleryRow(f"{task}/{row.key}", f"{title}: {row.caption}", cells))
    given = ((GIVEN, "Given"), (TARGET, "Target"))
    return Gallery(
        "hero",
        "What each task gives, and what is drawn from it",
        "hero",
        (
            *(column for column in given if any(column[0] in row.cells for row in rows)),
            *((name, titles[name]) for name in columns),
        ),
        tuple(rows),
        note="One row of each task, chosen at random, from the same noise in each column.",
    )


def _of_task(
    task: str, by_adapter: Mapping[str, Index], params: Params, titles: Mapping[str, str]
) -> list[Gallery]:
    kind = describe_task(task, params)
    first = next(iter(by_adapter.values()))
    declared = find_metric(first["metric"]) if first["metric"] else None
    metric = declared.title(params.evaluate.judges) if declared else ""
    given = CONDITIONS[kind.condition].column if kind.condition in CONDITIONS else "Condition"
    given_columns = ((GIVEN, given), (TARGET, "Target"))
    num_rows = min(len(index["rows"]) for index in by_adapter.values())
    rows = tuple(_row(place, by_adapter) for place in range(num_rows))
    columns = (*given_columns, *((name, titles[name]) for name in by_adapter))
    present = {name for row in rows for name in row.cells}
    samples = Gallery(
        f"gallery-{task}",
        kind.title(task),
        "samples",
        tuple(column for column in columns if column[0] in present),
        rows,
        metric,
        "Rows chosen at random; one noise for each row.",
    )
    worst = tuple(
        _failure(titles[name], name, entry)
        for name, index in by_adapter.items()
        for entry in index["failures"]
    )
    failures = Gallery(
        f"failures-{task}",
        f"{kind.short_title(task)}: the worst of each adapter",
        "failures",
        tuple(
            column
            for column in (*given_columns, ("picture", "Drawn"))
            if any(column[0] in row.cells for row in worst)
        ),
        worst,
        metric,
        f"The {NUM_FAILURES} pictures of each adapter with the worst score.",
    )
    return [samples, failures] if worst else [samples]


def _row(place: int, by_adapter: Mapping[str, Index]) -> GalleryRow:
    entries = {name: index["rows"][place] for name, index in by_adapter.items() if place < len(index["rows"])}
    first = next(iter(entries.values()))
    cells = {name: Cell(first[name]) for name in (GIVEN, TARGET) if name in first}
    cells |= {
        name: Cell(entry["picture"], entry.get("found"), entry["score"])
        for name, entry in entries.items()
        if "picture" in entry
    }
    return GalleryRow(first["key"], first["caption"], cells)


def _failure(title: str, adapter: str, entry: Mapping[str, Any]) -> GalleryRow:
    cells = {name: Cell(entry[name]) for name in (GIVEN, TARGET) if name in entry}
    if "picture" in entry:
        cells["picture"] = Cell(entry["picture"], entry.get("found"), entry["score"])
    return GalleryRow(f"{adapter}/{entry['key']}", f"{title}: {entry['caption']}", cells)
