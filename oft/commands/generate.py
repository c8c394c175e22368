"""The command `oft generate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oft.errors import ParamsError
from oft.generation.defaults import MAX_BATCH, PLACED_BASE, sampling_settings
from oft.params import PARAMS_FILE, Params, load_params
from oft.schedulers import SCHEDULERS

if TYPE_CHECKING:
    from oft.generation.drawing import Drawn, Inputs
    from oft.generation.plan import Item
    from oft.models.base import Base

OUT = Path("pictures")

_DRAWN_FROM = "What pictures are drawn from"
_HOW = "How they are drawn"


def generate_command(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]...", help="What to draw; each in quotes.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR[:STRENGTH]",
            help="An adapter of any kind: runs/TASK/ADAPTER/magnitude, PEFT's folder, a ControlNet of "
            "diffusers, a LoRA .safetensors. Repeat to combine. None: the base alone.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="A folder in diffusers' layout, a .safetensors or .ckpt file, or owner/name@commit on the "
            f"hub. Default: the run's own, {PLACED_BASE}."
        ),
    ] = None,
    base_config: Annotated[
        str, typer.Option(help="What a single file holds, as base.config in params.yaml.")
    ] = "sd15",
    out: Annotated[Path, typer.Option(help="Folder for the pictures; nothing in it is overwritten.")] = OUT,
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=1024, help="Pictures of each prompt.")
    ] = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Of the first picture; the next has the next number.")
    ] = 0,
    prompts_file: Annotated[
        Path | None,
        typer.Option("--prompts", help="A text file, one prompt a line.", rich_help_panel=_DRAWN_FROM),
    ] = None,
    condition: Annotated[
        Path | None,
        typer.Option(
            help="Conditioning image, or a folder of them, each with every prompt, or without prompts with "
            "the text in cat.txt beside cat.png.",
            rich_help_panel=_DRAWN_FROM,
        ),
    ] = None,
    extract: Annotated[
        str | None,
        typer.Option(
            help="--condition is a photograph: make its conditioning image, by canny, lineart_standard, hed, "
            "depth, openpose, ...",
            rich_help_panel=_DRAWN_FROM,
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="Picture to draw over (img2img), or a folder.", rich_help_panel=_DRAWN_FROM),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="How far from --image: above 0 (as it is) to 1 (anew). Default 0.7.",
            rich_help_panel=_DRAWN_FROM,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Draw anew only where this picture is white (inpainting).", rich_help_panel=_DRAWN_FROM
        ),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What to lead away from.", rich_help_panel=_HOW)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help=f"Sampler: {', '.join(SCHEDULERS)}.", rich_help_panel=_HOW)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", rich_help_panel=_HOW)] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance; 1 is without.", rich_help_panel=_HOW)
    ] = None,
    guess_mode: Annotated[
        bool | None,
        typer.Option(help="Conditioning image for the conditional half alone.", rich_help_panel=_HOW),
    ] = None,
    strength: Annotated[
        str,
        typer.Option(
            metavar="S[,S...]",
            help="How much of the adapters applies: 0 none, 1 as trained; several are drawn side by side.",
            rich_help_panel=_HOW,
        ),
    ] = "1",
    size: Annotated[
        int | None, typer.Option(help="Side in pixels. Default: the base's own.", rich_help_panel=_HOW)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures at once; changes them by rounding alone. The pipeline's own are drawn with "
            "sample.batch_size of params.yaml.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be drawn, and stop.")] = False,
) -> None:
    """Draw pictures: PNG files that carry their settings, and a contact sheet of all.

    Settings that are not given are those of `sample` in params.yaml, where there is one. The seed of a
    picture is in its file and draws it again; so does that of a picture of the pipeline.

    oft generate "a sks robot toy on the beach" --adapter runs/subject_robot_toy/oft/magnitude -n 4

    oft generate "a red house" --adapter runs/canny_coco/oft/magnitude --condition house.jpg --extract canny
    """
    from oft.generation.bases import open_to_draw
    from oft.generation.combining import AdapterChoice
    from oft.generation.drawing import contact_sheet_of, draw
    from oft.generation.inputs import find_pictures, read_prompts
    from oft.generation.plan import next_number, plan_items
    from oft.progress import count

    params = load_params() if PARAMS_FILE.is_file() else None
    conditions = [] if condition is None else find_pictures(condition)
    images = [] if image is None else find_pictures(image)
    _refuse_unpaired(len(conditions), len(images), noise=noise, mask=mask, extract=extract)
    texts = [*(prompts or []), *(read_prompts(prompts_file) if prompts_file else [])]
    items = plan_items(texts, conditions or images, next_number(out))
    strengths = _parse_strengths(strength)
    choices = [AdapterChoice.parse(text) for text in adapter or []]
    if len(strengths) > 1 and not choices:
        raise ParamsError("--strength: is of adapters, and there is none; name one with --adapter")
    total = len(items) * number * len(strengths)
    settings = sampling_settings(
        params,
        {
            "negative_prompt": negative_prompt,
            "scheduler": scheduler,
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "guess_mode": guess_mode,
            "batch_size": batch_size or min(len(items) * number, MAX_BATCH),
        },
    )
    source = base or str(PLACED_BASE)
    drawn_with = ", ".join(f"{one.path} ({one.kind}) at {one.strength:g}" for one in choices)
    summary = (
        f"{total} pictures by {source}{f' with {drawn_with}' if drawn_with else ''}: {settings.scheduler}, "
        f"{settings.num_inference_steps} steps, guidance {settings.guidance_scale:g}"
    )
    typer.echo(summary, err=True)
    if dry_run:
        for item in items:
            typer.echo(f"{item.key}: {item.prompt}{f' [{item.source}]' if item.source else ''}")
        return
    loaded, resolution_px = open_to_draw(source, base_config, size, None if base else params)
    inputs = _read_inputs(items, conditions, images, mask, noise, extract, resolution_px, params, loaded)
    pictures = draw(
        loaded,
        choices,
        strengths,
        items,
        inputs,
        settings,
        resolution_px=resolution_px,
        seed=seed,
        number=number,
    )
    out.mkdir(parents=True, exist_ok=True)
    done: list[Drawn] = []
    with redirect_stdout(sys.stderr):  # where progress goes to no terminal it is printed
        for one in count(pictures, "draw", "pictures", total):
            one.picture.write(out / f"{one.name}.png")
            done.append(one)
    for one in done:
        typer.echo(out / f"{one.name}.png")
    if len(done) > 1 or conditions or images:
        sheet = out / f"{items[0].key.split('-')[0]}-sheet.png"
        contact_sheet_of(items, inputs, done).save(sheet)
        typer.echo(sheet)


def _refuse_unpaired(
    num_conditions: int, num_images: int, *, noise: float | None, mask: Path | None, extract: str | None
) -> None:
    """Refuse options that need one another and stand alone.

    Raises:
        ParamsError: one does.
    """
    for name, value, needed, there in (
        ("noise", noise, "--image", num_images),
        ("mask", mask, "--image", num_images),
        ("extract", extract, "--condition", num_conditions),
    ):
        if value is not None and not there:
            raise ParamsError(f"--{name} ({value}) needs {needed}; give that picture too, or leave it out")
    if num_conditions and num_images and num_images not in (1, num_conditions):
        raise ParamsError(
            f"--image ({num_images} pictures) must be one picture or as many as --condition "
            f"({num_conditions}), which they are paired with by the order of their names"
        )


def _parse_strengths(text: str) -> list[float]:
    try:
        return list(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise ParamsError(f"--strength ({text}): must be numbers with commas, such as 0,0.5,1") from None


def _read_inputs(
    items: Sequence[Item],
    conditions: Sequence[Path],
    images: Sequence[Path],
    mask: Path | None,
    noise: float | None,
    extract: str | None,
    side_px: int,
    params: Params | None,
    base: Base,
) -> Inputs:
    """Return what the items are drawn from, at the size that is drawn."""
    from oft.generation.drawing import Inputs
    from oft.generation.inputs import extract_conditions, read_condition, read_mask, read_square

    if extract is None:
        shown = {path: read_condition(path, side_px) for path in conditions}
    else:
        if params is None:
            raise ParamsError(
                f"--extract ({extract}): its settings stand in {PARAMS_FILE}, and there is none here; run in "
                "a clone of the repository, or give the conditioning image itself"
            )
        known = getattr(params.conditions, extract, None)
        settings = known.model_dump() if known is not None else {}
        photographs = [read_square(path, side_px) for path in conditions]
        made = extract_conditions(extract, settings, photographs, str(base.unet.device))
        shown = dict(zip(conditions, made, strict=True))
    over = {path: read_square(path, side_px) for path in images}
    paired = dict(zip(conditions, images, strict=True)) if len(images) == len(conditions) else {}
    pictures = {}
    for item in items if images else ():
        assert item.source is not None
        pictures[item.key] = over[item.source if not conditions else paired.get(item.source, images[0])]
    anew = None if mask is None else read_mask(mask, side_px)
    return Inputs(
        conditions={item.key: shown[item.source] for item in items if item.source in shown},
        pictures=pictures,
        masks={} if anew is None else {item.key: anew for item in items},
        noise=(0.7 if noise is None else noise) if images else None,
    )
