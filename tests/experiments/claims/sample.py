"""Findings as an evidence run leaves them: nine adapters, three tasks, six claims, charts and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from experiments.claims.findings import (
    Cell,
    Chart,
    Claim,
    Column,
    Contrast,
    Estimate,
    Facts,
    Findings,
    Gallery,
    GalleryRow,
    Point,
    Row,
    Series,
    Table,
    Verdict,
)

SIDE_PX = 64
ADAPTERS = {
    "oft": "OFT",
    "coft": "COFT",
    "boft": "BOFT",
    "lora": "LoRA",
    "controlnet": "ControlNet",
    "full": "full finetuning",
    "hint": "hint encoder alone",
}
REFERENCES = {"none": "base alone", "reconstruction": "target through the autoencoder"}
TASKS = {
    "segm_ade20k": ("Region map to picture", "Mean IoU (miniature segmenter)", "mean_iou"),
    "canny_coco": ("Edges to picture", "Edge F1", "canny_f1"),
    "densepose_deepfashion": (
        "Body-part map to picture",
        "Body-part accuracy (miniature part segmenter)",
        "part_accuracy",
    ),
}
ANSWERS: tuple[tuple[str, str, Verdict, str], ...] = (
    (
        "control",
        "OFT controls better than LoRA",
        "holds",
        "OFT follows the condition better on all three tasks.",
    ),
    (
        "parameters",
        "It needs fewer parameters",
        "holds",
        "OFT does as well as LoRA with half of the parameters.",
    ),
    (
        "stability",
        "It does not collapse",
        "does not hold",
        "At ten times the rate OFT loses as much as LoRA does.",
    ),
    (
        "speed",
        "It learns in fewer steps",
        "undecided",
        "No interval tells the two apart at any number of steps.",
    ),
    (
        "coft",
        "The constraint costs nothing",
        "undecided",
        "COFT and OFT differ by less than their intervals.",
    ),
    ("users", "People prefer its pictures", "not measured", "Nobody was asked."),
)
LABELS = ("OFT − LoRA", "OFT − ControlNet", "OFT − full finetuning (constant rate, steps=1600)")


def estimate(rng: np.random.Generator, value: float, half: float = 0.015) -> Estimate:
    value += float(rng.normal(0, half / 3))
    return Estimate(
        value, value - half * float(rng.uniform(0.8, 1.2)), value + half * float(rng.uniform(0.8, 1.2))
    )


def judge(one: Estimate) -> Verdict:
    assert one.low is not None and one.high is not None
    return "holds" if one.low > 0 else "does not hold" if one.high < 0 else "undecided"


def make_claim(rng: np.random.Generator, name: str, title: str, verdict: Verdict, answer: str) -> Claim:
    centre = {"holds": 0.03, "does not hold": -0.03, "undecided": 0.004, "not measured": 0.0}[verdict]
    contrasts = [
        Contrast(task, task_title, metric, metric_title, label, one, "above", judge(one), False, 96, 3)
        for task, (task_title, metric_title, metric) in TASKS.items()
        for label in LABELS
        for one in [estimate(rng, centre)]
    ]
    return Claim(
        name=name,
        title=title,
        question=f"{title}: is that so in the miniature world, at the same number of steps and pictures?",
        verdict=verdict,
        answer=f"{answer} On the region maps the difference is {contrasts[0].estimate.value:+.3f}.",
        paper="OFT 12.3, LoRA 11.1, higher is better (Table 99, Stable Diffusion 1.5; figures of a test).",
        differs="The base has 13 million parameters instead of 860, pictures 64 pixels instead of 512.",
        contrasts=() if verdict == "not measured" else tuple(contrasts),
    )


def make_table(rng: np.random.Generator, task: str) -> Table:
    title, metric_title, metric = TASKS[task]
    level = {"none": 0.41, "hint": 0.75, "lora": 0.757, "reconstruction": 0.88}
    rows = [
        Row(
            name,
            shown,
            {
                metric: estimate(rng, level.get(name, 0.77)),
                "kernel_distance": estimate(rng, 0.4 - 0.3 * level.get(name, 0.77), 0.02),
                **(
                    {"trainable_parameters": Estimate(float(rng.integers(20_000, 900_000)))}
                    if name in ADAPTERS
                    else {}
                ),
                **({"seconds": estimate(rng, 310, 4)} if name in ADAPTERS and name != "full" else {}),
            },
            best=(metric,) if name == "oft" else ("kernel_distance",) if name == "boft" else (),
            is_reference=name in REFERENCES,
        )
        for name, shown in [
            ("none", REFERENCES["none"]),
            *ADAPTERS.items(),
            ("reconstruction", REFERENCES["reconstruction"]),
        ]
    ]
    columns = (
        Column(
            metric, metric_title, "higher", "The share of the condition that is found again in the picture."
        ),
        Column(
            "kernel_distance",
            "Kernel distance",
            "lower",
            "How far the pictures are from real ones, as a whole.",
        ),
        Column("trainable_parameters", "Parameters", "lower"),
        Column("seconds", "Training, s", "lower"),
    )
    return Table(
        f"table-{task}",
        f"{title} (miniature world)",
        "3 seeds, 96 conditions; bold where every other adapter is worse.",
        columns,
        tuple(rows),
    )


def make_chart(rng: np.random.Generator, name: str, claim: str, log_x: bool) -> Chart:
    xs = (1e-5, 6e-5, 3e-4, 1e-3, 5e-3) if log_x else (100.0, 200.0, 400.0, 800.0, 1600.0)
    series = [
        Series(
            key,
            ADAPTERS[key],
            tuple(
                Point(x, estimate(rng, 0.78 - 0.35 * np.exp(-(place + 0.5 + 0.2 * number)), 0.02))
                for place, x in enumerate(xs)
            ),
        )
        for number, key in enumerate(("lora", "oft", "coft", "controlnet"))
    ]
    return Chart(
        name,
        "Mean IoU by learning rate" if log_x else "Mean IoU by training steps",
        claim,
        "line",
        "learning rate" if log_x else "steps",
        "Mean IoU (miniature segmenter)",
        log_x,
        "higher",
        tuple(series),
        "Bands are intervals.",
    )


def make_scatter(rng: np.random.Generator) -> Chart:
    return Chart(
        "cost",
        "Control by trained parameters",
        "parameters",
        "scatter",
        "trained parameters",
        "Mean IoU (miniature segmenter)",
        True,
        "higher",
        tuple(
            Series(key, title, (Point(float(rng.integers(20_000, 900_000)), estimate(rng, 0.76)),))
            for key, title in ADAPTERS.items()
        ),
    )


def draw(rng: np.random.Generator, folder: Path | None, name: str, *, is_condition: bool = False) -> str:
    """Write a picture of a few coloured boxes, or of their edges; return its name."""
    if folder is None:
        return name
    pixels = np.full((SIDE_PX, SIDE_PX, 3), 0 if is_condition else 215, np.uint8)
    for _ in range(4):
        left, top = rng.integers(0, 40, 2)
        width, height = rng.integers(8, 26, 2)
        box = pixels[top : top + height, left : left + width]
        box[:] = 255 if is_condition else rng.integers(20, 235, 3)
        if is_condition:
            box[1:-1, 1:-1] = 0
        else:
            box[:] = np.clip(box + rng.normal(0, 6, box.shape), 0, 255).astype(np.uint8)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, lossless=True)  # of WebP; PNG always is
    return name


def make_gallery(
    rng: np.random.Generator,
    folder: Path | None,
    name: str,
    kind: Literal["hero", "samples"],
    title: str,
    num_rows: int,
    *,
    has_found: bool,
) -> Gallery:
    columns = (("condition", "condition"), ("target", "target"), ("none", "base alone"), *ADAPTERS.items())
    suffix = "png" if kind == "hero" else "webp"
    rows = []
    for number in range(num_rows):
        cells = {}
        for key, _ in columns:
            if (key, number) == ("full", 1):
                continue
            picture = draw(rng, folder, f"{name}/{number}-{key}.{suffix}", is_condition=key == "condition")
            is_drawn = key not in ("condition", "target")
            found = f"{name}/{number}-{key}-found.{suffix}"
            cells[key] = Cell(
                picture,
                draw(rng, folder, found, is_condition=True) if has_found and is_drawn else None,
                float(rng.uniform(0.2, 0.9)) if is_drawn else None,
            )
        rows.append(
            GalleryRow(
                f"{number:03}", f"a red house beside two tall trees under a grey sky, number {number}", cells
            )
        )
    note = "Rows chosen at random, the same seed throughout."
    return Gallery(name, title, kind, columns, tuple(rows), "Edge F1", note)


def make_failures(rng: np.random.Generator, folder: Path | None) -> Gallery:
    rows = []
    for number, title in enumerate(ADAPTERS.values()):
        names = {key: f"worst/{number}-{key}.webp" for key in ("given", "target", "picture", "found")}
        for key, name in names.items():
            draw(rng, folder, name, is_condition=key in ("given", "found"))
        cells = {
            "given": Cell(names["given"]),
            "target": Cell(names["target"]),
            "picture": Cell(names["picture"], names["found"], float(rng.uniform(0, 0.1))),
        }
        rows.append(GalleryRow(f"{number:03}", f"{title}: two tall trees under a grey sky", cells))
    columns = (("given", "Edges"), ("target", "Target"), ("picture", "Drawn"))
    title = "Edges to picture: the worst of each adapter"
    return Gallery("failures-canny_coco", title, "failures", columns, tuple(rows), "Edge F1")


def make_findings(folder: Path | None = None) -> Findings:
    """Return findings, their pictures written into a folder where one is given."""
    rng = np.random.default_rng(0)
    return Findings(
        commits=("2751351f0c9a0bce", "686c039d"),
        seeds=(0, 1, 2),
        level=0.95,
        num_runs=171,
        num_planned=189,
        claims=tuple(make_claim(rng, *words) for words in ANSWERS),
        tables=tuple(make_table(rng, task) for task in TASKS),
        charts=(
            make_chart(rng, "rates", "stability", True),
            make_chart(rng, "steps", "speed", False),
            make_scatter(rng),
        ),
        galleries=(
            make_gallery(rng, folder, "hero", "hero", "One row of each task", 3, has_found=False),
            *(
                make_gallery(rng, folder, task, "samples", words[0], 3, has_found=task == "canny_coco")
                for task, words in TASKS.items()
            ),
            make_failures(rng, folder),
        ),
        facts=(
            Facts(
                "settings",
                "Settings",
                (("training steps", "1,600"), ("sampler", "DDIM, 12 steps, guidance 3")),
            ),
            Facts("costs", "Costs", (("a run", "6 minutes on two cores"), ("all runs", "19 hours"))),
            Facts(
                "data-ade20k",
                "Data card: region maps",
                (("pictures", "1,200 for training, 96 held out"), ("licence", "rendered")),
            ),
        ),
    )
