"""All results of a run, read from its folder: pure reading, and the choice of what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oft.keys import stable_hash
from oft.report.glossary import adapter_title
from oft.report.plan import TaskKind, datasets_of, describe_task, num_sample_shards, planned_runs, trained_on
from oft.report.reading import (
    SampleKey,
    StoredOutput,
    absent,
    count_shard_samples,
    decode_picture,
    draw_samples,
    flatten,
    index_samples,
    read_angles,
    read_card,
    read_curves,
    read_mapping,
    read_output,
    read_records,
    read_samples,
)
from oft.report.results import (
    Cell,
    Comparison,
    CountsRow,
    Curve,
    Example,
    Failure,
    Note,
    Output,
    Piece,
    Report,
    Run,
    TaskResults,
)
from oft.report.scores import choose_score, is_better_low, number
from oft.shards.shards import Sample
from oft.types import SPLITS, Split

NUM_FAILURES = 3
"""Worst pictures shown for each adapter."""

MAX_PROMPTS = 25
"""Prompts of a subject on the page: DreamBooth's protocol has 25."""

MAX_INSTANCES = 12
"""Pictures of a subject on the page; the data sets have 3 to 6."""

_PHASES = {"train": "train", "magnitude": "fit_magnitude"}
_CONFUSED = ("segmentation", "densepose")

Scored = tuple[float, str, int]
"""Score, key, index."""


def collect(root: Path, params: Mapping[str, Any], num_rows: int, seed: int) -> Report:
    """Return everything there is to show of the run in a folder; what is missing is noted in words.

    The same folder, params and seed give the same report.

    Args:
        root: the run's working folder, which holds ``data`` and ``runs``.
        params: the run's settings; each key may be missing.
        num_rows: conditions (or prompts) in each comparison and samples in each contact sheet.
        seed: decides which of them.
    """
    planned = planned_runs(params, root)
    notes: list[Note] = []
    if not params:
        notes.append(Note("params", "The settings of this run were not given."))
    if not planned:
        notes.append(
            Note("metrics", "There are no runs: the settings name no task, and the folder runs is empty.")
        )
    tasks = tuple(
        _collect_task(root, params, task, adapters, num_rows, seed) for task, adapters in planned.items()
    )
    counts = _collect_counts(root, params, planned, notes)
    angles = read_angles(root, notes)
    return Report(dict(params), seed, tasks, counts, tuple(notes), angles)


def read_telemetry(root: Path) -> list[dict[str, Any]]:
    """Return the values of every ``.telemetry/<stage>.json``, sorted by name; [] where there are none.

    They vary from run to run, so they are no part of a `Report`.
    """
    ignored: list[Note] = []
    found = []
    for path in sorted((root / ".telemetry").glob("*.json")):
        values = flatten(read_mapping(root, path.relative_to(root).as_posix(), "", "metrics", ignored))
        if values:
            found.append({"stage": path.stem} | values)
    return found


def _collect_task(
    root: Path, params: Mapping[str, Any], task: str, adapters: Sequence[str], num_rows: int, seed: int
) -> TaskResults:
    kind = describe_task(task, params)
    notes: list[Note] = []
    # The task's own generator: its rows do not change when another task joins the run.
    rng = np.random.default_rng([seed, int(stable_hash(task)[:8], 16)])
    stored = {adapter: _index_run(root, task, adapter, params, notes) for adapter in adapters}
    runs = tuple(
        _collect_run(root, params, kind, task, adapter, len(stored[adapter]), notes) for adapter in adapters
    )
    num_shard_samples = count_shard_samples(root, task, notes)
    is_subject = kind.condition == "subject"

    split: Split = "train" if num_shard_samples.get("train") else "val"
    drawn: list[Sample] = []
    if num_shard_samples.get(split):
        num_drawn = MAX_INSTANCES if is_subject else num_rows
        drawn = draw_samples(root, task, split, num_drawn, rng, notes)

    keys = _choose_keys(stored, rng)
    shown = keys[: max(num_rows, MAX_PROMPTS) if is_subject else num_rows]
    worst = {run.adapter: _find_worst(root, task, run, kind, notes) for run in runs if run.adapter != "none"}
    wanted = {*shown, *(key for _, scored in worst.values() for _, key, _ in scored)}
    real: dict[str, Sample] = {}
    if not is_subject and num_shard_samples:
        real = read_samples(root, task, "val", wanted, notes)
    if not is_subject and not shown and num_shard_samples.get("val"):
        # Nothing was generated yet: conditions and targets are worth showing alone.
        real = {s.key: s for s in draw_samples(root, task, "val", num_rows, rng, notes)}
        shown = list(real)

    comparisons = [
        _compare(root, key, real.get(key), {a: _first(stored[a], key) for a in adapters}, notes)
        for key in shown
    ]
    return TaskResults(
        name=task,
        condition=kind.condition,
        dataset=kind.dataset,
        source=kind.source,
        runs=runs,
        comparisons=tuple(comparisons[:num_rows]),
        more_comparisons=tuple(comparisons[num_rows:]),
        instances=tuple(_example(sample) for sample in drawn) if is_subject else (),
        examples=tuple(_example(sample) for sample in drawn[:num_rows]),
        card=read_card(root, task, notes) if num_shard_samples else {},
        examples_split=split,
        num_shard_samples=num_shard_samples,
        failures=tuple(_collect_failures(root, worst, stored, real, notes)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _index_run(
    root: Path, task: str, adapter: str, params: Mapping[str, Any], notes: list[Note]
) -> dict[SampleKey, StoredOutput]:
    folder = f"runs/{task}/{adapter}/samples"
    found = index_samples(root, folder, num_sample_shards(task, adapter, params), notes)
    if not found:
        notes.append(Note("samples", f"{adapter_title(adapter)} has no pictures: {absent(folder, 'sample')}"))
    return found


def _collect_run(
    root: Path,
    params: Mapping[str, Any],
    kind: TaskKind,
    task: str,
    adapter: str,
    num_outputs: int,
    notes: list[Note],
) -> Run:
    folder = f"runs/{task}/{adapter}"
    source = trained_on(task, adapter, params)
    curves: list[Curve] = []
    summaries: dict[str, dict[str, Any]] = {}
    if adapter != "none" and source is None:
        for phase, stage in _PHASES.items():
            found = read_curves(root, f"{folder}/{phase}", phase, notes)
            if not found:
                name = f"{folder}/{phase}/dvclive/plots/metrics"
                notes.append(Note("curves", f"{adapter_title(adapter)} has no curves: {absent(name, stage)}"))
            curves.extend(found)
            piece: Piece = "magnitude" if phase == "magnitude" else "curves"
            summaries[phase] = flatten(
                read_mapping(root, f"{folder}/{phase}/summary.json", stage, piece, notes)
            )
    confusion: tuple[Cell, ...] = ()
    confusion_name = f"{folder}/plots/confusion.json"
    if kind.condition in _CONFUSED or (root / confusion_name).is_file():
        confusion = _read_confusion(root, confusion_name, notes)
    return Run(
        adapter=adapter,
        trained_on=source,
        num_samples=num_outputs,
        metrics=flatten(read_mapping(root, f"{folder}/metrics.json", "evaluate", "metrics", notes)),
        curves=tuple(curves),
        summaries=summaries,
        confusion=confusion,
    )


def _read_confusion(root: Path, name: str, notes: list[Note]) -> tuple[Cell, ...]:
    cells = []
    for record in read_records(root, name, "evaluate", "confusion", notes):
        share = number(record.get("share"))
        if share is not None:
            cells.append(Cell(str(record.get("actual", "")), str(record.get("predicted", "")), share))
    return tuple(cells)


def _choose_keys(stored: Mapping[str, Mapping[SampleKey, Any]], rng: np.random.Generator) -> list[str]:
    """Return keys in random order: those that all adapters drew, else those that any of them drew."""
    drawn = [{key for key, _ in outputs} for outputs in stored.values() if outputs]
    if not drawn:
        return []
    keys = sorted(set.intersection(*drawn) or set.union(*drawn))
    return [keys[position] for position in rng.permutation(len(keys))]


def _first(outputs: Mapping[SampleKey, StoredOutput], key: str) -> tuple[int, StoredOutput] | None:
    return next(((index, output) for (other, index), output in outputs.items() if other == key), None)


def _compare(
    root: Path,
    key: str,
    sample: Sample | None,
    chosen: Mapping[str, tuple[int, StoredOutput] | None],
    notes: list[Note],
) -> Comparison:
    outputs: dict[str, Output] = {}
    for adapter, found in chosen.items():
        if found is not None and (picture := read_output(root, found[1], notes)) is not None:
            outputs[adapter] = Output(picture, found[0], found[1].prompt, found[1].seed)
    prompts = [output.prompt for output in outputs.values() if output.prompt]
    return Comparison(
        key=key,
        caption=prompts[0] if prompts else _caption(sample),
        condition=decode_picture(sample.condition) if sample else None,
        target=decode_picture(sample.image) if sample else None,
        outputs=outputs,
    )


def _example(sample: Sample) -> Example:
    return Example(
        sample.key, _caption(sample), decode_picture(sample.condition), decode_picture(sample.image)
    )


def _caption(sample: Sample | None) -> str:
    captions = sample.meta.get("captions") if sample else None
    return str(captions[0]) if isinstance(captions, list) and captions else ""


def _find_worst(
    root: Path, task: str, run: Run, kind: TaskKind, notes: list[Note]
) -> tuple[str, list[Scored]]:
    """Return the score's name and the run's worst pictures by it, the worst first."""
    name = f"runs/{task}/{run.adapter}/plots/per_image.json"
    records = read_records(root, name, "evaluate", "failures", notes)
    score = choose_score(kind.condition, records)
    if score is None:
        if records:
            notes.append(
                Note("failures", f"{name} holds no score of which it is known which direction is better.")
            )
        return "", []
    scored = [
        (value, str(record["key"]), record["index"])
        for record in records
        if (value := number(record.get(score))) is not None
        and "key" in record
        and isinstance(record.get("index"), int)
    ]
    # Equal scores in the keys' order, whichever direction is better.
    ordered = sorted(scored, key=lambda entry: (-entry[0] if is_better_low(score) else entry[0], *entry[1:]))
    return score, ordered[:NUM_FAILURES]


def _collect_failures(
    root: Path,
    worst: Mapping[str, tuple[str, list[Scored]]],
    stored: Mapping[str, Mapping[SampleKey, StoredOutput]],
    real: Mapping[str, Sample],
    notes: list[Note],
) -> Iterable[Failure]:
    for adapter, (score_name, scored) in worst.items():
        for score, key, index in scored:
            output = stored[adapter].get((key, index))
            chosen = {adapter: (index, output) if output else None}
            yield Failure(adapter, score_name, score, _compare(root, key, real.get(key), chosen, notes))


def _collect_counts(
    root: Path, params: Mapping[str, Any], planned: Mapping[str, Any], notes: list[Note]
) -> tuple[CountsRow, ...]:
    datasets = datasets_of(planned, params)
    controls = [task for task in planned if describe_task(task, params).condition != "subject"]
    expected = {
        "acquire": [("data/raw", name) for name in datasets],
        "extract": [("data/conditions", name) for name in controls],
        "caption": [("data/captions", name) for name in datasets],
        "shard": [("data/shards", name) for name in planned],
    }
    rows: list[CountsRow] = []
    for stage, files in expected.items():
        for folder, name in files:
            values = read_mapping(root, f"{folder}/{name}.counts.json", stage, "counts", notes)
            rows.extend(_counts_rows(stage, name, values))
    return tuple(rows)


def _counts_rows(stage: str, name: str, values: Mapping[str, Any]) -> Iterable[CountsRow]:
    for split in sorted(values, key=lambda s: (SPLITS.index(s) if s in SPLITS else len(SPLITS), s)):
        entry = values[split]
        if not isinstance(entry, Mapping):
            continue
        dropped, offenders = entry.get("dropped"), entry.get("offenders")
        yield CountsRow(
            stage=stage,
            name=name,
            split=split,
            seen=_whole(entry.get("seen")),
            kept=_whole(entry.get("kept")),
            dropped={
                str(reason): count
                for reason, value in sorted(dropped.items())
                if (count := _whole(value)) is not None
            }
            if isinstance(dropped, Mapping)
            else {},
            offenders={
                str(reason): tuple(str(n) for n in names)
                for reason, names in sorted(offenders.items())
                if isinstance(names, list)
            }
            if isinstance(offenders, Mapping)
            else {},
        )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
