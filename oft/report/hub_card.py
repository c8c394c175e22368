"""The card of an adapter on the Hugging Face hub: what it is, its base, the run's figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oft.evaluation.registry import find_metric
from oft.exchange.description import describe_adapter
from oft.models.hub import HUB_ID
from oft.report.headlines import HEADLINES_NAME, Headline, headline_table
from oft.report.scores import format_value
from oft.storage import read_json

TASK_TYPE = "text-to-image"


def hub_card(
    folder: Path, name: str, metrics: Mapping[str, Any] | None = None, rows: Sequence[Headline] = ()
) -> str:
    """Return the text of a README.md for the hub, with its metadata in front.

    Args:
        folder: of the adapter.
        name: of the repository, without its owner.
        metrics: the run's ``metrics.json``; None where there is none.
        rows: of ``report/headlines.json``, those of the adapter.

    Raises:
        CheckpointError: the folder holds no adapter.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    description = describe_adapter(folder)
    base = description.metadata.get("base_name")
    of_hub = HUB_ID.fullmatch(base or "")
    scores = _scores(metrics or {})
    dataset = rows[0]["title"] if rows else "the run's own pictures"
    task = rows[0]["task"] if rows else "unknown"
    data = ModelCardData(
        base_model=of_hub["repo"] if of_hub else None,
        library_name="diffusers",
        pipeline_tag=TASK_TYPE,
        tags=["oft", "orthogonal-finetuning", "stable-diffusion", description.kind],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=TASK_TYPE,
                dataset_type=task,
                dataset_name=dataset,
                metric_type=key,
                metric_name=title,
                metric_value=value,
            )
            for key, title, value in scores
        ]
        or None,
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name}",
        f"An adapter of a text-to-image diffusion model, trained on {base or 'a base that no file names'}.",
        "```\n" + description.to_text().replace(str(folder), name) + "\n```",
    ]
    if rows:
        parts += ["## What it came to", headline_table(rows, markdown=True)]
    if scores and metrics:
        judges = f"Judges: {metrics['judges']}. " if "judges" in metrics else ""
        sampling = (
            f"Sampler {metrics.get('scheduler')}, {metrics.get('num_inference_steps')} steps, guidance "
            f"{metrics.get('guidance_scale')}, {metrics.get('num_images')} pictures, seed "
            f"{metrics.get('seed')}."
        )
        figures = [f"| {title} | {format_value(value)} |" for _, title, value in scores]
        table = "\n".join(["| metric | value |", "| --- | --- |", *figures])
        parts += ["## Figures", f"{judges}{sampling}", table]
    card = "\n\n".join(parts) + "\n"
    ModelCard(card)  # refuses metadata that the hub would not read
    return card


def _scores(metrics: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """Return key, title and value of what says how well pictures turned out and what the adapter changed."""
    judges = str(metrics.get("judges", ""))
    found = []
    for key, value in metrics.items():
        metric = find_metric(key)
        if metric and metric.group in ("score", "adapter") and isinstance(value, float):
            found.append((key, metric.title(judges), value))
    return found


def card_of(folder: Path, name: str) -> str:
    """Return the card of an adapter, with the figures beside it where it lies in a run's folder.

    Raises:
        CheckpointError: the folder holds no adapter.
    """
    run = folder.resolve().parent
    metrics = read_json(run / "metrics.json") if (run / "metrics.json").is_file() else None
    headlines = run.parent.parent.parent / "report" / HEADLINES_NAME
    rows = read_json(headlines) if headlines.is_file() else []
    own = [row for row in rows if (row["task"], row["adapter"]) == (run.parent.name, run.name)]
    return hub_card(folder, name, metrics, own)
