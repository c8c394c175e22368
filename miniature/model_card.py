"""The model card of the miniature networks, in the hub's form: origin, data, licence, figures, limits."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

from oft.storage import atomic_file, dump_yaml, read_json

CARD_NAME = "README.md"
LICENCE = "apache-2.0"
"""That of the repository (LICENSE), which the weights are part of."""

FRONT_MATTER: dict[str, Any] = {
    "license": LICENCE,
    "library_name": "diffusers",
    "pipeline_tag": "text-to-image",
    "tags": ["stable-diffusion", "orthogonal-finetuning", "synthetic-data", "tests"],
}

TEXT = """\
# A miniature Stable Diffusion and its judges

`base/` is a latent text-to-image model of Stable Diffusion's architecture in diffusers' layout, for
pictures of 64 x 64 pixels; each folder of `judges/` is a network in transformers' layout that looks at
pictures. They let the whole pipeline of orthogonal finetuning run on a processor in minutes, without a
download, and are of no use beyond that.

## Origin

Every weight was trained by `python -m stages.pretrain` of this repository, from random initialisation
and the seed in `params.yaml`: no published weights and no outputs of other models went in.
`training_log.json` has the losses, `hashes.json` the SHA-256 of every file of weights, `quality.json`
the figures below.

## Training data

Pictures that `miniature/world` renders: scenes, single things, figures, faces, toys and circles of plain
shapes, with captions made of a fixed list of words. There is no photograph, no drawing, no text and no
data of people in them.

## Licence

Apache-2.0, as the repository (`LICENSE`).

## Limits

- It knows the words of its small vocabulary alone and draws this rendered world, roughly; nothing of the
  real one.
- The judges were trained on the same renderer. Their figures compare runs with each other; they are no
  figures by published networks (FID, CLIP score, DINO).
- Faces and figures are diagrams of shapes. Nothing here recognises, measures or depicts people.

## Figures

On rendered pictures of another seed than those trained on (`miniature/quality.py` defines each):
"""


def write_model_card(folder: Path) -> None:
    """Write ``README.md`` into a finished folder of networks; equal folders get equal bytes."""
    quality = read_json(folder / "quality.json")
    lines = [
        *_table(
            ("figure", "value"), ((f"`{name}`", f"{value:g}") for name, value in sorted(quality.items()))
        ),
        "",
        "## Size",
        "",
        *_table(("network", "parameters"), _sizes(folder)),
    ]
    with atomic_file(folder / CARD_NAME) as partial:
        partial.write_text(f"{_front_matter()}\n{TEXT}\n{chr(10).join(lines)}\n", encoding="utf-8")


def _front_matter() -> str:
    return f"---\n{dump_yaml(FRONT_MATTER)}---\n"


def _sizes(folder: Path) -> Iterable[tuple[str, str]]:
    from safetensors import safe_open

    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, framework="numpy") as weights:
            names = weights.keys()
            number = sum(prod(weights.get_slice(name).get_shape()) for name in names)
        yield f"`{path.parent.relative_to(folder).as_posix()}`", f"{number:,}"


def _table(header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"| {left} | {right} |" for left, right in (header, ("---", "---:"), *rows)]
