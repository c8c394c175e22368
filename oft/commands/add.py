"""The commands `oft subject add`, `oft style add` and `oft control add`: tasks of the user's own pictures."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from oft import additions
from oft.adapters.protocol import TrainingSection
from oft.datasets.registry import readers_of_sources
from oft.errors import CheckpointError, DataError, ParamsError
from oft.generation.inputs import extractable
from oft.params import PARAMS_FILE, Params, load_params, parse_params
from oft.settings.data import CAPTION_FIELD
from oft.types import Split

Pictures = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the pictures.")]
Name = Annotated[
    str | None, typer.Option(help="What to call it: small letters, digits, _. Default: the folder's name.")
]
Base = Annotated[
    str | None,
    typer.Option(
        help="Base to finetune: a folder in diffusers' layout, a .safetensors or .ckpt file, "
        "owner/name@commit on the hub. Default: the profile's."
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        help="Begin with the settings of a profile (conf/profile) instead of params.yaml's: sd15-subject, "
        "sd15-canny, ... Default with --base: sd15-subject for subjects and styles, sd15-canny for "
        "conditions; then give --steps for your number of pictures. A base of Stable Diffusion XL needs "
        "sdxl-subject or sdxl-style."
    ),
]
Adapters = Annotated[
    str | None, typer.Option(help="What to train, by names in `adapters`, with commas: oft,lora.")
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Optimizer steps. Default: the settings' number, which --dry-run prints."),
]
Keep = Annotated[bool, typer.Option("--keep", help="Run it beside what params.yaml runs already, not alone.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and stop.")]
Captions = Annotated[
    str,
    typer.Option(
        help="own: text files beside the pictures or their names; blip: a network writes them; or a file of "
        "prompts."
    ),
]

subject_app = typer.Typer(help="Learn a subject from a few pictures of it.", no_args_is_help=True)
style_app = typer.Typer(help="Learn the style of captioned pictures.", no_args_is_help=True)
control_app = typer.Typer(help="Learn to draw pictures from a condition.", no_args_is_help=True)


@dataclass(frozen=True)
class _Choices:
    """The options that all three have."""

    name: str | None
    base: str | None
    profile: str | None
    adapters: str | None
    steps: int | None
    keep: bool
    dry_run: bool


def _only_add() -> None:
    """Keep `add` a command of its own; a group of one command would be that command."""


for _app in (subject_app, style_app, control_app):
    _app.callback()(_only_add)


@subject_app.command("add")
def add_subject(
    folder: Pictures,
    class_word: Annotated[str, typer.Option("--class", help="The word for what they show: dog.")],
    name: Name = None,
    identifier: Annotated[
        str | None, typer.Option(help="The rare word that stands for it. Default: params.yaml's, sks.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help='What to draw it for, a line each: "a {} in the snow".')
    ] = None,
    class_pictures: Annotated[
        Path | None, typer.Option(help="Pictures of the class of your own; else the base draws some.")
    ] = None,
    base: Base = None,
    profile: Profile = None,
    adapters: Adapters = None,
    steps: Steps = None,
    keep: Keep = False,
    dry_run: DryRun = False,
) -> None:
    """Write into params.yaml what learns a subject from a folder of pictures; `make repro` then does it.

    For example, ten photographs of a dog: oft subject add ~/rex --class dog
    """
    made = partial(
        additions.subject,
        class_word=class_word,
        prompts=None if prompts is None else str(prompts),
        class_pictures=None if class_pictures is None else str(class_pictures),
    )
    changes: dict[str, Any] = {} if identifier is None else {"identifier": identifier}
    choices = _Choices(name, base, profile, adapters, steps, keep, dry_run)
    params, addition = _write("subject", folder, made, choices, changes)
    _say_next(params, addition, f"a {params.identifier} {class_word} on the beach", "", dry_run)


@style_app.command("add")
def add_style(
    folder: Pictures,
    name: Name = None,
    template: Annotated[
        str | None,
        typer.Option(help='Text around each caption, with {caption} in it: "{caption}, in rex style".'),
    ] = None,
    captions: Captions = "own",
    base: Base = None,
    profile: Profile = None,
    adapters: Adapters = None,
    steps: Steps = None,
    keep: Keep = False,
    dry_run: DryRun = False,
) -> None:
    """Write into params.yaml what learns the style of a folder of pictures; `make repro` then does it.

    Without train/ and val/ in the folder a twentieth of the pictures, at least one, is held out.

    With --base it trains by section train of sd15-subject: 550 steps of 16.

    --dry-run prints the number of steps, --steps sets it.

    For example: oft style add ~/prints --template "{caption}, woodcut"
    """
    made = partial(additions.style, template=template, captions=captions)
    choices = _Choices(name, base, profile, adapters, steps, keep, dry_run)
    params, addition = _write("style", folder, made, choices)
    _say_next(params, addition, (template or "{caption}").replace("{caption}", "a boat"), "", dry_run)


@control_app.command("add")
def add_control(
    folder: Pictures,
    condition: Annotated[
        str, typer.Option(help="How it is made of a picture: canny, lineart_standard, depth, hed, ...")
    ],
    name: Name = None,
    captions: Captions = "own",
    base: Base = None,
    profile: Profile = None,
    adapters: Adapters = None,
    steps: Steps = None,
    keep: Keep = False,
    dry_run: DryRun = False,
) -> None:
    """Write into params.yaml what learns to draw a folder's pictures from a condition; `make repro` does it.

    Without train/ and val/ in the folder a twentieth of the pictures, at least one, is held out.

    With --base it trains by sd15-canny: 73,930 steps of 16, COCO's 10 epochs.

    --dry-run prints the number of steps, --steps sets it.

    For example: oft control add ~/houses --condition canny --captions blip
    """
    if condition not in extractable():
        raise ParamsError(
            f"--condition ({condition}): must be made of the picture alone, by one of "
            f"{', '.join(extractable())}; conditions of a data set's own maps are set in params.yaml "
            "(docs/datasets.md)"
        )
    made = partial(additions.control, condition=condition, captions=captions)
    choices = _Choices(name, base, profile, adapters, steps, keep, dry_run)
    params, addition = _write("control", folder, made, choices)
    _say_next(params, addition, "a house", f" --condition PICTURE --extract {condition}", dry_run)


_PROFILES: dict[additions.Kind, str] = {
    "subject": "sd15-subject",
    "style": "sd15-subject",
    "control": "sd15-canny",
}


def _write(
    kind: additions.Kind,
    folder: Path,
    made: Callable[[str, str], additions.Addition],
    choices: _Choices,
    changes: dict[str, Any] | None = None,
) -> tuple[Params, additions.Addition]:
    """Write the settings, checked as a whole, and say what they are.

    Args:
        made: the addition, from its folder and its name.
        changes: settings by their keys with points.
    """
    from oft.doctor.examination import refuse_faults
    from oft.doctor.finding import Scope
    from oft.doctor.inputs import check_datasets
    from oft.profiles import compose_profile
    from oft.storage import atomic_file, load_yaml, update_yaml

    conf = Path("conf")
    profile = _PROFILES[kind] if choices.profile is None and choices.base is not None else choices.profile
    _refuse(folder, conf, choices, profile)
    if profile is None:
        before, file = load_params(), PARAMS_FILE  # parsed first: it says what is wrong with the file
        values = load_yaml(file.read_bytes())
    else:
        values, file = compose_profile(conf, profile), conf / "defaults.yaml"
        before = parse_params(values, str(conf / "profile" / f"{profile}.yaml"))
    name = choices.name or re.sub(r"[ -]", "_", folder.resolve().name.lower())
    # `photos` alone is not the folder of that name, but the pictures that ship with the package.
    is_word = str(folder) in {"download", *readers_of_sources()}
    addition = made(f"./{folder}" if is_word else str(folder), name)
    section: TrainingSection = "train_subject" if kind == "subject" else "train"
    chosen: dict[str, Any] = {"base.source": choices.base}
    if choices.steps is not None:  # a warm-up of more than a tenth of few steps would be most of them
        warmup_steps = min(getattr(before, section).warmup_steps, choices.steps // 10)
        chosen |= {f"{section}.max_train_steps": choices.steps, f"{section}.warmup_steps": warmup_steps}
    new = additions.add(
        values,
        addition,
        adapters=choices.adapters.split(",") if choices.adapters else (),
        keep=choices.keep,
        changes={**(changes or {}), **{key: value for key, value in chosen.items() if value is not None}},
    )
    params = parse_params(new, str(PARAMS_FILE))
    stages = Scope({f"acquire@{addition.name}", f"shard@{addition.task}"})
    refuse_faults(list(check_datasets(params, Path(), stages)))
    kept = _count_pictures(addition, folder, params)
    training = params.training_of(addition.task)
    pictures = "picture" if kept == 1 else "pictures"
    trained = ", ".join(getattr(params, f"{kind}_adapters"))
    typer.echo(
        f"{addition.task}: {kept} {pictures} of {folder}; trains {trained}, {training.max_train_steps} steps "
        f"of {training.batch_size} at {params.resolution_px} px, on {params.base.source}"
    )
    text = update_yaml(file.read_text(encoding="utf-8"), new)
    if choices.dry_run:
        return params, addition
    shutil.copyfile(PARAMS_FILE, backup := PARAMS_FILE.with_suffix(".yaml.before"))
    with atomic_file(PARAMS_FILE) as partial_file:
        partial_file.write_text(text, encoding="utf-8")
    typer.echo(f"{PARAMS_FILE}: written; what it was is in {backup}")
    return params, addition


def _refuse(folder: Path, conf: Path, choices: _Choices, profile: str | None) -> None:
    """Refuse what cannot be added, before anything is read.

    Raises:
        ParamsError: this is no repository, or options contradict each other.
        DataError: there is no such folder.
        CheckpointError: there is no such base.
    """
    from oft.models.hub import HUB_FORM, is_hub_id

    if not PARAMS_FILE.is_file() or not conf.is_dir():
        raise ParamsError(f"{PARAMS_FILE} and {conf}/ must be here; run in the repository's root")
    if choices.keep and profile is not None:
        raise ParamsError(f"--keep is of {PARAMS_FILE}, and --profile ({profile}) replaces it; leave one out")
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; give the one that holds the pictures")
    if (base := choices.base) and not (base == "miniature" or is_hub_id(base) or Path(base).exists()):
        raise CheckpointError(
            f"--base ({base}): there is no such file or folder, and it is no {HUB_FORM} on the hub"
        )


def _count_pictures(addition: additions.Addition, folder: Path, params: Params) -> int:
    """Return how many pictures of the folder will be trained on.

    Raises:
        DataError: there is none, or none is left to validate where a task needs one; or none of a class.
    """
    captions = params.datasets[addition.name].captions
    # A subject's pictures have its prompt, and a template without a place for captions is one.
    needs_none = addition.kind == "subject" or CAPTION_FIELD not in captions.template
    source = "blip" if needs_none else captions.source
    kept, said = _kept(addition.reader, folder, source, params, by_split=addition.kind != "subject")
    trained = sum(kept.values()) if addition.kind == "subject" else kept["train"]
    if not trained or (addition.kind != "subject" and not kept["val"]):
        raise DataError(
            f"{folder}: a run needs pictures to train on, and for a style or a condition one more to "
            f"validate; it keeps {kept['train']} and {kept['val']}; docs/datasets.md says what is read{said}"
        )
    if said:
        typer.echo(f"{folder}: left out{said}", err=True)
    if of_class := addition.settings.get("class_pictures"):
        kept, said = _kept("image_folder", Path(of_class), "blip", params, by_split=False)
        if not any(kept.values()):
            raise DataError(f"--class-pictures ({of_class}): a run keeps none of them{said}")
    return trained


def _kept(
    reader: str, folder: Path, captions: str, params: Params, *, by_split: bool
) -> tuple[dict[Split, int], str]:
    """Return how many pictures a run keeps of each split, and in lines what it leaves out.

    Args:
        by_split: whether the splits mean something: progress counts by them, and is silent where they do not.
    """
    from oft.prepare.checking import check_dataset
    from oft.prepare.drops import describe_drops
    from oft.prepare.geometry import smallest_side_px

    shown = sys.stderr if by_split else io.StringIO()  # where progress goes to no terminal it is printed
    with redirect_stdout(shown), redirect_stderr(shown):
        counts = check_dataset(reader, folder, captions, params.resolution_px)
    dropped = [f"\n  {line}" for tally in counts.values() for line in describe_drops(tally)]
    if any("too_small" in tally.dropped for tally in counts.values()):
        side = smallest_side_px(params.resolution_px)
        dropped.append(
            f"\n  resolution_px ({params.resolution_px}) needs a shorter side of {side} px or more"
        )
    return {split: tally.kept for split, tally in counts.items()}, "".join(dropped)


def _say_next(params: Params, addition: additions.Addition, prompt: str, more: str, dry_run: bool) -> None:
    if dry_run:
        return
    adapter = getattr(params, f"{addition.kind}_adapters")[0]
    folder = f"runs/{addition.task}/{adapter}/magnitude"
    typer.echo(
        "Next:\n"
        "  make repro                       trains, draws, reports: report/index.html\n"
        f'  oft generate "{prompt}" --adapter {folder}{more}\n'
        f"  oft export {folder} data/models/base {addition.name}.safetensors --format delta"
    )
