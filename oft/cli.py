"""The command line `oft`."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from oft import __version__
from oft.commands.add import control_app, style_app, subject_app
from oft.commands.doctor import doctor_command
from oft.commands.generate import generate_command
from oft.datasets.registry import READERS
from oft.errors import UserError
from oft.models.architectures import Architecture
from oft.models.counting import Method, Targets

app = typer.Typer(
    help="Tools around the pipeline; `dvc repro` runs the pipeline itself.",
    no_args_is_help=True,
    add_completion=False,
)


app.command("doctor")(doctor_command)
app.command("generate")(generate_command)
for _name, _group in (("subject", subject_app), ("style", style_app), ("control", control_app)):
    app.add_typer(_group, name=_name)

_METRICS = "runs/*/*/metrics.json"

data_app = typer.Typer(help="Tools around data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"oft {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tools around the pipeline; `dvc repro` runs the pipeline itself."""


@app.command()
def count(
    architecture: Annotated[Architecture, typer.Option(help="Whose UNet is adapted.")],
    adapter: Annotated[Method, typer.Option(help="Also methods to compare OFT with.")] = "oft",
    targets: Annotated[
        Targets,
        typer.Option(help="control: attention, first feed-forward layer, hint encoder; subject: attention."),
    ] = "control",
    num_blocks: Annotated[
        int | None, typer.Option(help="OFT's blocks in each layer (the paper's r).")
    ] = None,
    block_size: Annotated[int | None, typer.Option(help="Their size, instead of their number.")] = None,
    block_share: Annotated[bool, typer.Option("--block-share", help="One block serves a layer.")] = False,
    rank: Annotated[int | None, typer.Option(help="LoRA's.")] = None,
) -> None:
    """Print how many parameters an adapter trains on a model, without any weights.

    For example: oft count --architecture sd15 --num-blocks 4
    """
    from oft.models.counting import count_trained

    _print_json(
        count_trained(
            architecture,
            adapter,
            targets,
            num_blocks=num_blocks,
            block_size=block_size,
            block_share=block_share,
            rank=rank,
        )
    )


@app.command()
def energy(
    base: Annotated[Path, typer.Argument(help="A placed base: data/models/base.")],
    adapter: Annotated[Path | None, typer.Argument(help="An adapter's folder: runs/TASK/oft/train.")] = None,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="A table of the layers first.")] = False,
) -> None:
    """Print the hyperspherical energy of a base's layers without and with an adapter, which rotations keep.

    For example: oft energy data/models/base runs/segm_ade20k/oft/train --per-layer
    """
    from oft.evaluation.geometry import report_energy
    from oft.models.base import load_base
    from oft.models.device import choose_device

    summary, layers = report_energy(load_base(base, choose_device()), adapter)
    if per_layer:
        _print_table(layers)
    _print_json({"base": str(base), "adapter": None if adapter is None else str(adapter), **summary})


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="An adapter's folder, or one of its .safetensors files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Say what a saved adapter is: layers, blocks, convention, base, size; no base is needed.

    For example: oft info runs/segm_ade20k/oft/magnitude
    """
    from oft.exchange.description import describe_adapter

    description = describe_adapter(path)
    if as_json:
        _print_json(description.to_json())
    else:
        typer.echo(description.to_text())


@app.command()
def profile(
    name: Annotated[
        str, typer.Argument(help="A file of conf/profile without .yaml: miniature, compare, full, smoke.")
    ],
    conf: Annotated[Path, typer.Option(help="Folder of the profiles.")] = Path("conf"),
    params: Annotated[Path, typer.Option(help="File to write.")] = Path("params.yaml"),
) -> None:
    """Write a profile's settings to params.yaml, with their comments; the next `make repro` uses them."""
    from oft.profiles import write_profile

    write_profile(conf, name, params)
    typer.echo(f"{params}: profile {name}")


@app.command("compare")
def compare_command(
    revision: Annotated[str, typer.Argument(metavar="REV", help="A git revision: HEAD, a tag, a commit.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="The share of a figure by which it may differ.")
    ] = 0.01,
) -> None:
    """Say whether the metrics here agree with those of a git revision, as another processor may give them.

    A figure may differ by --tolerance of itself or, where that is more, by half the 95 % interval of its mean
    over pictures (plots/per_image.json), since other pictures would move it as far. Settings that differ are
    named first. Status 0: all agree; 1: some do not, or one side alone has them. Figures come from
    runs/*/*/metrics.json here, and of the revision from git or DVC's cache or remote, wherever it keeps them.

    For example, after `make repro` in a clean clone: oft compare HEAD
    """
    from oft.params import PARAMS_FILE
    from oft.report.agreement import mean_half_widths, pair_metrics, render_pairs
    from oft.storage import flatten, load_yaml, read_json

    there, settings = _read_revision(revision)
    here, half_widths = {}, {}
    for path in sorted(Path().glob(_METRICS)):
        run = path.parent.parent.name, path.parent.name
        here[run] = read_json(path)
        if (scores := path.parent / "plots" / "per_image.json").is_file():
            half_widths[run] = mean_half_widths(read_json(scores))
    if not here:
        raise UserError(f"there is no {_METRICS} here; run `make repro` first, in the repository's root")
    theirs, ours = flatten(load_yaml(settings)), flatten(load_yaml(PARAMS_FILE.read_bytes()))
    changed = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    for key in changed:
        typer.echo(f"{PARAMS_FILE}: {key}: {revision} {theirs.get(key)!r}, here {ours.get(key)!r}")
    pairs = pair_metrics(there, here, half_widths, tolerance)
    for line in render_pairs(pairs, revision):
        typer.echo(line)
    if changed or not all(pair.agrees for pair in pairs):
        raise typer.Exit(1)


def _read_revision(revision: str) -> tuple[dict[tuple[str, str], dict[str, object]], str]:
    """Return the metrics of each task and adapter in a git revision, and its params.yaml."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import map_scm_exception

    try:
        with map_scm_exception():
            files = DVCFileSystem(".", rev=revision)
        settings = files.read_text("params.yaml")
        names = sorted(files.glob(_METRICS))
    except (DvcException, FileNotFoundError) as error:
        raise UserError(
            f"revision {revision!r} cannot be read ({error}); name a commit of this repository"
        ) from error
    metrics, missing = {}, []
    for name in names:
        _, task, adapter, _ = name.lstrip("/").split("/")
        try:
            metrics[task, adapter] = json.loads(files.read_text(name))
        except (DvcException, OSError):
            missing.append(name)
    if missing or not names:
        first = f" ({missing[0]})" if missing else ""
        raise UserError(
            f"{len(missing)} of {len(names)} metrics of {revision} are neither in git nor in DVC's cache or "
            f"remote{first}; fetch them (`make pull`, or `dvc fetch --all-commits`), or compare with a "
            "revision that was run here"
        )
    return metrics, settings


@data_app.command("check")
def check_command(
    dataset: Annotated[
        str,
        typer.Option(
            help=f"The reader for its layout: {', '.join(READERS)} (docs/datasets.md shows each layout)."
        ),
    ],
    root: Annotated[Path, typer.Option(help="Folder of the data set.")],
    captions: Annotated[
        str,
        typer.Option(help="Where captions come from, as captions.source: own, blip, or a prompt file."),
    ] = "own",
    resolution_px: Annotated[
        int | None,
        typer.Option(help="The run's size: what is below half of it is dropped. Default: params.yaml's."),
    ] = None,
) -> None:
    """Decode every picture and annotation of a data set, and say what a run would keep, drop and why.

    Prints one line of JSON, and on standard error the first faulty files with the remedy. Status 0: a run
    can sample, even if pictures are dropped; 1: the layout was not read, or nothing is kept to sample for.
    Nothing is written.

    For example: oft data check --dataset ade20k --root /data/ADEChallengeData2016 --captions blip
    """
    from oft.params import PARAMS_FILE, load_params
    from oft.prepare.checking import check_dataset, find_shortage, summarize
    from oft.prepare.drops import describe_drops

    if resolution_px is None and PARAMS_FILE.is_file():
        resolution_px = load_params().resolution_px
    with redirect_stdout(sys.stderr):  # where progress goes to no terminal it is printed
        counts = check_dataset(dataset, root, captions, resolution_px)
    for split, tally in counts.items():
        for line in describe_drops(tally):
            typer.echo(f"{split}: {line}", err=True)
    assumed: dict[str, object] = {"captions": captions, "resolution_px": resolution_px}
    _print_json(assumed | summarize(dataset, root, counts))
    if shortage := find_shortage(dataset, counts):
        raise UserError(f"{root}: {shortage}")
    if not counts["train"].kept:
        typer.echo(
            "no picture is for training: the set can only try adapters (base_tasks, transfers)", err=True
        )


AdapterFolder = Annotated[Path, typer.Argument(help="Folder of the adapter: runs/<task>/<adapter>/train.")]
BaseFolder = Annotated[Path, typer.Argument(help="Folder of the base it was trained on: data/models/base.")]
Dtype = Annotated[
    Literal["fp32", "fp16"], typer.Option("--dtype", help="Type of the weights in delta and diffusers.")
]

Strength = Annotated[
    float,
    typer.Option(help="How much of the adapter goes into merged weights: 0 none, 1 what was trained."),
]


@app.command("export")
def export_command(
    adapter: AdapterFolder,
    base: BaseFolder,
    out: Annotated[Path, typer.Argument(help="What to make: a folder; for delta a file .safetensors.")],
    form: Annotated[
        Literal["peft", "delta", "diffusers"],
        typer.Option(
            "--format",
            help="peft: for PeftModel.from_pretrained. delta: weight differences, which AUTOMATIC1111 and "
            "ComfyUI load like a LoRA. diffusers: a merged checkpoint, for "
            "StableDiffusionPipeline.from_pretrained.",
        ),
    ] = "peft",
    dtype: Dtype = "fp32",
    strength: Strength = 1.0,
) -> None:
    """Write an adapter for another program.

    Magnitudes are in delta and diffusers; the hint encoder, which no other format has a place for, in none.

    Example: oft export runs/subject_robot_toy/oft/train data/models/base robot.safetensors --format delta
    """
    from oft.exchange import export_adapter

    _report(out, export_adapter(adapter, base, out, form, dtype, strength))


@app.command("merge")
def merge_command(
    adapter: AdapterFolder,
    base: BaseFolder,
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    dtype: Dtype = "fp32",
    strength: Strength = 1.0,
) -> None:
    """Merge an adapter into its base: a whole checkpoint in diffusers' layout (export --format diffusers).

    Example: oft merge runs/subject_robot_toy/oft/train data/models/base robot
    """
    from oft.exchange import export_adapter

    _report(out, export_adapter(adapter, base, out, "diffusers", dtype, strength))


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="File or folder of another program's OFT adapter.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    base: Annotated[Path, typer.Option(help="Folder of the base the adapter was trained on.")],
    cayley: Annotated[
        Literal["exact", "neumann"],
        typer.Option(
            help="Of PEFT's truncated transform take exact: the rotation it approximates. neumann: its own "
            "product, no rotation, written as merged weights (OUT: a folder, or a file .safetensors of ΔW)."
        ),
    ] = "exact",
    reference: Annotated[
        Literal["current", "early"],
        typer.Option(help="The sign a file of the reference implementation has: of its later or first code."),
    ] = "current",
    coft_eps: Annotated[
        float | None,
        typer.Option(help="--eps of a reference training with --coft, where the file does not record it."),
    ] = None,
    dtype: Dtype = "fp32",
) -> None:
    """Convert an OFT adapter of PEFT (0.14 and later) or of the paper's reference implementation.

    Nothing in the file is run: safetensors, or PyTorch's own format restricted to tensors.

    Example: oft import model-epoch=19.ckpt runs/imported --base data/models/base
    """
    from oft.exchange import import_adapter

    _report(
        out,
        import_adapter(file, base, out, cayley=cayley, sign=reference, coft_eps=coft_eps, precision=dtype),
    )


@app.command("publish")
def publish_command(
    path: Annotated[Path, typer.Argument(help="A file, or a folder: report, runs/TASK/ADAPTER/train, ...")],
    url: Annotated[str, typer.Argument(metavar="S3://BUCKET/PREFIX", help="Where its files shall lie.")],
) -> None:
    """Copy a report, an adapter or shards to S3, where nothing is deleted.

    What is there already, byte for byte, is not sent again: after an interruption run the same command again.
    A folder's manifest, published.json, is sent last and says that it is whole. Hidden files stay here.

    Credentials and endpoint are what AWS's tools use: AWS_PROFILE, or AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, or ~/.aws; AWS_ENDPOINT_URL for MinIO and the like.

    For example: oft publish report s3://team/reports/monday
    """
    from threading import Lock

    from oft.progress import BYTES, progress
    from oft.storage import plan_publication, publish

    plan = plan_publication(path, url)
    lock = Lock()
    with redirect_stdout(sys.stderr), progress(plan.missing_bytes, "publish", BYTES) as bar:

        def advance(count_bytes: int) -> None:
            with lock:
                bar.advance(count_bytes)

        publish(plan, advance)
    typer.echo(f"{plan.url}: {len(plan.missing)} files sent, {len(plan.kept)} were there")


@app.command("fetch")
def fetch_command(
    url: Annotated[str, typer.Argument(metavar="S3://BUCKET/PREFIX", help="What `oft publish` was given.")],
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
) -> None:
    """Fetch a published folder, every file verified; one that is not whole is refused and leaves nothing.

    For example: oft fetch s3://team/adapters/robot runs/robot
    """
    from oft.storage import fetch_folder

    if folder.exists():
        raise UserError(f"{folder} exists; name a folder that does not, or remove it")
    typer.echo(f"{folder}: {len(fetch_folder(url, folder))} files")


def _print_json(value: dict[str, object]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _print_table(rows: list[dict[str, object]]) -> None:
    """Print rows that have the same keys, their first value a name, the others numbers."""
    name, *numbers = rows[0]
    width = max(len(str(row[name])) for row in rows)
    typer.echo("  ".join([f"{name:<{width}}", *(f"{key:>14}" for key in numbers)]))
    for row in rows:
        typer.echo("  ".join([f"{row[name]:<{width}}", *(f"{row[key]:>14.8g}" for key in numbers)]))


def _report(made: Path, notes: list[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(made)


def main() -> None:
    """Run the command line; a user's fault prints its message alone."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
