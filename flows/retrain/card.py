"""The card of a promoted model, a README in the form that the Hugging Face hub shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.retrain.decision import Decision, render_comparisons
from oft.adapters.registry import BASE_ALONE, METHODS
from oft.evaluation.metric import REAL, RECONSTRUCTION
from oft.evaluation.registry import find_metric
from oft.report.plan import describe_task
from oft.report.sentences import capitalised
from oft.storage import dump_yaml, read_json

if TYPE_CHECKING:
    from oft.params import Params

UNKNOWN_LICENCE = "unspecified"
_CARD = """\
---
{front_matter}
---

# {task}, {adapter}

An adapter on `{base}` ({meaning}); it learned {learned}. {tag}, trained with revision \
`{revision}`.

## Data

{title}: data set `{dataset}` in the settings, read as `{reader}`. Licences of its pictures: {licence}. \
The licence of the adapter has to respect them and the base's.

## Settings

```yaml
{settings}
```

## Metrics

{metrics}

Against {against}, paired on the same pictures and seeds:

{comparisons}

## Use

{use}
"""

_USE = """\
`weights/adapter` is complete: `oft.adapters.load_adapter` loads it."""
_USE_WEIGHTS = """\
 `weights/delta.safetensors` holds weight differences, which other programs load like a LoRA; it takes no \
control signal."""
_USE_PEFT = """\
 PEFT loads its rotations:

```python
from diffusers import UNet2DConditionModel
from peft import PeftModel

unet = UNet2DConditionModel.from_pretrained("{base}", subfolder="unet")
unet = PeftModel.from_pretrained(unet, "weights/adapter")
```"""


def render_model_card(root: Path, params: Params, task: str, decision: Decision) -> str:
    """Return the card of the gated adapter on a task; ``root`` is the candidate's workspace.

    It says nothing of the machine or the day: equal candidates have equal cards.
    """
    adapter = params.gate.adapter
    licences = _licences(_read(root / "data" / "shards" / task / "card.json"))
    licence = ", ".join(licences) or UNKNOWN_LICENCE
    base = _public(params.base.source)
    method = METHODS[params.adapters[adapter].method]
    front_matter = {
        "base_model": base,
        "library_name": "peft" if method.has_peft_form else "diffusers",
        "pipeline_tag": "text-to-image",
        "license": "other",
        "license_name": licence,
        "tags": list(dict.fromkeys([method.name, adapter, task])),
    }
    use = _USE + _USE_WEIGHTS * method.changes_weights + _USE_PEFT.format(base=base) * method.has_peft_form
    dataset, learned = _data_of(params, task)
    return _CARD.format(
        front_matter=dump_yaml(front_matter).strip(),
        task=task,
        adapter=adapter,
        base=base,
        meaning=method.meaning(params.adapters[adapter]),
        use=use,
        learned=learned,
        tag=decision.tag,
        revision=decision.revision,
        title=capitalised(describe_task(task, params).dataset_title),
        dataset=dataset,
        reader=params.datasets[dataset].reader,
        licence=licence,
        settings=dump_yaml(_settings(params, task), sort_keys=True).strip(),
        metrics=_metrics_table(root, task, adapter, params.evaluate.judges),
        against=decision.against,
        comparisons=render_comparisons(decision, [row for row in decision.comparisons if row.task == task]),
    )


def _data_of(params: Params, task: str) -> tuple[str, str]:
    """Return a task's data set, and what the adapter learned from it, in words."""
    if subject := params.subjects.get(task):
        return subject.dataset, f"the subject {subject.title} as `{params.identifier}`"
    if style := params.styles.get(task):
        return style.dataset, "the style of its pictures"
    return params.tasks[task].dataset, f"the condition `{params.tasks[task].condition}`"


def _settings(params: Params, task: str) -> dict[str, Any]:
    return {
        "seed": params.seed,
        "resolution_px": params.resolution_px,
        "adapter": params.adapters[params.gate.adapter].model_dump(),
        "train": params.training_of(task).model_dump(),
        "fit_magnitude": params.fit_magnitude.model_dump(),
        "sample": params.sample.model_dump(),
    }


def _metrics_table(root: Path, task: str, adapter: str, judges: str) -> str:
    measured = _read(root / "runs" / task / adapter / "metrics.json")
    base = _read(root / "runs" / task / BASE_ALONE / "metrics.json")
    names = [
        name for name in measured if f"{name}{REAL}" in measured or f"{name}{RECONSTRUCTION}" in measured
    ]
    lines = [
        "| metric | this adapter | base alone | target through the autoencoder | real pictures |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        metric = find_metric(name)
        title = metric.title(judges) if metric else name
        references = (measured.get(f"{name}{suffix}") for suffix in (RECONSTRUCTION, REAL))
        values = (measured[name], base.get(name), *references)
        lines.append(f"| {title} | {' | '.join(_number(value) for value in values)} |")
    return "\n".join(lines) if names else "None with a reference."


def _licences(card: Mapping[str, Any]) -> list[str]:
    splits = card.get("splits", {})
    return sorted({licence for split in splits.values() for licence in split.get("licences", {})})


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"


def _public(source: str) -> str:
    """A base without this machine's folders: of a path its last part, of the hub its id."""
    return (
        Path(source).name
        if Path(source).is_absolute() or source.startswith((".", "~"))
        else source.split("@")[0]
    )


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = read_json(path) if path.is_file() else {}
    return values
