"""All results of a run, read from its folder: pure reading, and the choice of what is shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.adapters.registry import BASE_ALONE, METHODS
from oft.evaluation.metric import STYLE, SUBJECT
from oft.evaluation.registry import find_metric
from oft.keys import stable_hash
from oft.report.glossary import adapter_words
from oft.report.plan import (
    TaskKind,
    datasets_of,
    describe_task,
    num_sample_shards,
    planned_runs,
    titles_of_files,
    trained_on,
)
from oft.report.reading import (
    SampleKey,
    StoredOutput,
    absent,
    count_shard_samples,
    decode_picture,
    draw_samples,
    index_samples,
    read_angles,
    read_card,
    read_class_pixels,
    read_confusion,
    read_counts,
    read_curves,
    read_metrics,
    read_output,
    read_samples,
    read_scores,
    read_seen,
)
from oft.report.results import (
    ConfusionCell,
    CountsRow,
    Curve,
    Failure,
    Note,
    Output,
    Piece,
    ReportData,
    RunResults,
    SampleRow,
    ShownSample,
    TaskResults,
    ValidationGrid,
)
from oft.report.scores import choose_score, lower_is_better
from oft.report.validation import GRIDS_FOLDER, STRIP_GRIDS, read_validation
from oft.shards.shards import Sample
from oft.types import Split

if TYPE_CHECKING:
    from oft.params import Params

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


def collect(root: Path, params: Params) -> ReportData:
    """Return everything there is to show of the run in a folder; what is missing is noted in words.

    The same folder and params give the same report: ``seed`` decides which ``report.num_rows`` conditions (or
    prompts) each comparison and which samples each contact sheet shows.

    Args:
        root: the run's working folder, which holds ``data`` and ``runs``.
        params: the run's settings.
    """
    planned = planned_runs(params)
    notes: list[Note] = []
    if not planned:
        notes.append(Note("metrics", "There are no runs: the settings name no task."))
    tasks = tuple(_collect_task(root, params, task, adapters) for task, adapters in planned.items())
    counts = _collect_counts(root, params, planned, notes)
    angles = read_angles(root, notes)
    return ReportData(params, tasks, counts, tuple(notes), angles)


def _collect_task(root: Path, params: Params, task: str, adapters: Sequence[str]) -> TaskResults:
    kind, num_rows = describe_task(task, params), params.report.num_rows
    notes: list[Note] = []
    # The task's own generator: its rows do not change when another task joins the run.
    rng = np.random.default_rng([params.seed, int(stable_hash(task)[:8], 16)])
    stored = {adapter: _index_run(root, task, adapter, params, notes) for adapter in adapters}
    runs = tuple(
        _collect_run(root, params, kind, task, adapter, len(stored[adapter]), notes) for adapter in adapters
    )
    num_shard_samples = count_shard_samples(root, task, notes)
    is_subject, is_style = kind.condition == SUBJECT, kind.condition == STYLE

    split: Split = "train" if num_shard_samples.get("train") else "val"
    drawn: list[Sample] = []
    if num_shard_samples.get(split):
        num_drawn = MAX_INSTANCES if is_subject else num_rows
        drawn = draw_samples(root, task, split, num_drawn, rng, notes)

    keys = _choose_keys(stored, rng)
    shown = keys[: max(num_rows, MAX_PROMPTS) if is_subject else num_rows]
    seen = read_seen(root, task, notes) if is_style and num_shard_samples else frozenset()
    if is_style:
        unseen = [key for key in keys if key not in seen]
        shown = [*unseen[:num_rows], *[key for key in keys if key in seen][:num_rows]]
        num_rows = len(shown) or num_rows
    worst = {run.adapter: _find_worst(task, run, kind, notes) for run in runs if run.adapter != BASE_ALONE}
    wanted = {*shown, *(key for _, scored in worst.values() for _, key, _ in scored)}
    real: dict[str, Sample] = {}
    if not is_subject and num_shard_samples:
        real = read_samples(root, task, "val", wanted - seen, notes)
    if seen:
        real |= read_samples(root, task, "train", wanted & seen, notes)
    if not is_subject and not shown and num_shard_samples.get("val"):
        # Nothing was generated yet: conditions and targets are worth showing alone.
        real = {s.key: s for s in draw_samples(root, task, "val", num_rows, rng, notes)}
        shown = list(real)

    comparisons = [
        _make_row(root, key, real.get(key), {a: _first_output(stored[a], key) for a in adapters}, notes)
        for key in shown
    ]
    if is_style:
        comparisons = [
            replace(row, kind="seen prompt" if row.key in seen else "unseen prompt") for row in comparisons
        ]
    return TaskResults(
        name=task,
        condition=kind.condition,
        dataset=kind.dataset,
        dataset_title=kind.dataset_title,
        title=kind.title(task),
        short_title=kind.short_title(task),
        runs=runs,
        comparisons=tuple(comparisons[:num_rows]),
        more_comparisons=tuple(comparisons[num_rows:]),
        instances=tuple(_example(sample) for sample in drawn) if is_subject else (),
        examples=tuple(_example(sample) for sample in drawn[: params.report.num_rows]),
        card=read_card(root, task, notes) if num_shard_samples else {},
        examples_split=split,
        num_shard_samples=num_shard_samples,
        failures=tuple(_collect_failures(root, worst, stored, real, notes)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _index_run(
    root: Path, task: str, adapter: str, params: Params, notes: list[Note]
) -> dict[SampleKey, StoredOutput]:
    folder = f"runs/{task}/{adapter}/samples"
    found = index_samples(root, folder, num_sample_shards(task, adapter, params), notes)
    if not found:
        notes.append(
            Note(
                "samples",
                f"{adapter_words(params)[adapter].title} has no pictures: {absent(folder, 'sample')}",
            )
        )
    return found


def _collect_run(
    root: Path,
    params: Params,
    kind: TaskKind,
    task: str,
    adapter: str,
    num_outputs: int,
    notes: list[Note],
) -> RunResults:
    folder = f"runs/{task}/{adapter}"
    source, words = trained_on(task, adapter, params), adapter_words(params)[adapter]
    curves: list[Curve] = []
    summaries: dict[str, dict[str, Any]] = {}
    validation: tuple[ValidationGrid, ...] = ()
    if adapter != BASE_ALONE and source is None:
        method = METHODS[params.adapters[adapter].method]
        for phase, stage in _PHASES.items():
            if phase == "magnitude" and not method.has_magnitudes:
                continue
            found = read_curves(root, f"{folder}/{phase}", phase, notes)
            if not found:
                name = f"{folder}/{phase}/dvclive/plots/metrics"
                notes.append(Note("curves", f"{words.title} has no curves: {absent(name, stage)}"))
            curves.extend(found)
            piece: Piece = "magnitude" if phase == "magnitude" else "curves"
            summaries[phase] = read_metrics(root, f"{folder}/{phase}/summary.json", stage, piece, notes)
        validation = _collect_validation(root, params, task, adapter, notes)
    confusion: tuple[ConfusionCell, ...] = ()
    confusion_name = f"{folder}/plots/confusion.json"
    if kind.condition in _CONFUSED or (root / confusion_name).is_file():
        confusion = read_confusion(root, confusion_name, notes)
    class_pixels = {}
    if kind.condition in _CONFUSED:
        class_pixels = read_class_pixels(root, f"{folder}/plots/class_pixels.json", notes)
    metrics = read_metrics(root, f"{folder}/metrics.json", "evaluate", "metrics", notes)
    if missing := metrics.get("missing_judges"):
        note = Note(
            "metrics",
            f"evaluate.judges has no {missing}: what they would judge is not measured (docs/metrics.md).",
        )
        notes += [note] if note not in notes else []  # once, not for each adapter
    if source is not None:
        metrics |= _describe_adapter(root, source, adapter)
    scores_of: Piece = "intervals" if adapter == BASE_ALONE else "failures"
    return RunResults(
        adapter=adapter,
        words=words,
        trained_on=source,
        num_samples=num_outputs,
        metrics=metrics,
        curves=tuple(curves),
        validation=validation,
        summaries=summaries,
        confusion=confusion,
        pictures=read_scores(root, f"{folder}/plots/per_image.json", scores_of, notes),
        class_pixels=class_pixels,
    )


def _collect_validation(
    root: Path, params: Params, task: str, adapter: str, notes: list[Note]
) -> tuple[ValidationGrid, ...]:
    """Return what an adapter drew while it was trained; that there is nothing is noted with its reason."""
    folder = f"runs/{task}/{adapter}"
    own: list[Note] = []
    found = read_validation(root, folder, STRIP_GRIDS, own)
    if not found and not own:
        if params.training_of(task).num_validation_images:
            title = adapter_words(params)[adapter].title
            reason = f"{title} has no validation grids: {absent(f'{folder}/{GRIDS_FOLDER}', 'train')}"
        else:
            reason = "There are no validation grids: training.num_validation_images is 0."
        own.append(Note("validation", reason))
    notes += own
    return found


def _describe_adapter(root: Path, task: str, adapter: str) -> dict[str, Any]:
    """Return what was measured of an adapter itself where it was trained; what is missing is noted there."""
    ignored: list[Note] = []
    metrics = read_metrics(root, f"runs/{task}/{adapter}/metrics.json", "evaluate", "metrics", ignored)
    return {
        key: value
        for key, value in metrics.items()
        if (metric := find_metric(key)) and metric.group == "adapter" and not key.startswith("val_loss")
    }


def _choose_keys(stored: Mapping[str, Mapping[SampleKey, Any]], rng: np.random.Generator) -> list[str]:
    """Return keys in random order: those that all adapters drew, else those that any of them drew."""
    drawn = [{key for key, _ in outputs} for outputs in stored.values() if outputs]
    if not drawn:
        return []
    keys = sorted(set.intersection(*drawn) or set.union(*drawn))
    return [keys[position] for position in rng.permutation(len(keys))]


def _first_output(outputs: Mapping[SampleKey, StoredOutput], key: str) -> tuple[int, StoredOutput] | None:
    return next(((index, output) for (other, index), output in outputs.items() if other == key), None)


def _make_row(
    root: Path,
    key: str,
    sample: Sample | None,
    chosen: Mapping[str, tuple[int, StoredOutput] | None],
    notes: list[Note],
) -> SampleRow:
    outputs: dict[str, Output] = {}
    for adapter, found in chosen.items():
        if found is not None and (picture := read_output(root, found[1], notes)) is not None:
            request = found[1].request
            outputs[adapter] = Output(picture, request.index, request.prompt, request.seed)
    prompts = [output.prompt for output in outputs.values() if output.prompt]
    return SampleRow(
        key=key,
        caption=prompts[0] if prompts else _caption(sample),
        condition=decode_picture(sample.condition) if sample else None,
        target=decode_picture(sample.image) if sample else None,
        outputs=outputs,
    )


def _example(sample: Sample) -> ShownSample:
    return ShownSample(
        sample.key, _caption(sample), decode_picture(sample.condition), decode_picture(sample.image)
    )


def _caption(sample: Sample | None) -> str:
    captions = sample.meta.get("captions") if sample else None
    return str(captions[0]) if isinstance(captions, list) and captions else ""


def _find_worst(task: str, run: RunResults, kind: TaskKind, notes: list[Note]) -> tuple[str, list[Scored]]:
    """Return the score's name and the run's worst pictures by it, the worst first."""
    name = f"runs/{task}/{run.adapter}/plots/per_image.json"
    pictures = run.pictures
    score = choose_score(kind.condition, pictures)
    if score is None:
        if pictures:
            notes.append(
                Note("failures", f"{name} holds no score of which it is known which direction is better.")
            )
        return "", []
    scored = [(p.scores[score], p.key, p.index) for p in pictures if score in p.scores]
    # Equal scores in the keys' order, whichever direction is better.
    sign = -1 if lower_is_better(score) else 1
    ordered = sorted(scored, key=lambda entry: (sign * entry[0], *entry[1:]))
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
            yield Failure(adapter, score_name, score, _make_row(root, key, real.get(key), chosen, notes))


def _collect_counts(
    root: Path, params: Params, tasks: Collection[str], notes: list[Note]
) -> tuple[CountsRow, ...]:
    datasets = datasets_of(tasks, params)
    titles = titles_of_files(params)
    expected = {
        "acquire": ("data/raw", datasets),
        "extract": ("data/conditions", [task for task in tasks if task in params.tasks]),
        "caption": ("data/captions", datasets),
        "shard": ("data/shards", list(tasks)),
    }
    return tuple(
        row
        for stage, (folder, names) in expected.items()
        for name in names
        for row in read_counts(root, stage, folder, name, titles[f"{folder}/{name}.counts.json"], notes)
    )
