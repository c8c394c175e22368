"""The command `oft compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oft.errors import UserError
from oft.storage.private import use_private_site_cache

_METRICS = "runs/*/*/metrics.json"


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

    use_private_site_cache()
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
