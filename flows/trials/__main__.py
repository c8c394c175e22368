"""``python -m flows.trials``: what the adapters add over several seeds, and which settings are best."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.arguments import parse_names, parse_seeds
from flows.process import exit_on_signals, user_errors
from flows.trials.arguments import read_settings
from flows.trials.changes import (
    REPORTED_SEEDS,
    VALIDATION_SEED,
    grid,
    parse_change,
    parse_sweep,
    refuse_reported_seeds,
)
from oft.errors import UserError
from oft.evaluation.metric import KINDS

if TYPE_CHECKING:
    from experiments.gains.comparison import Resampling
    from flows.trials.trial import Revision, Trial

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Runs of the pipeline under several seeds or settings, compared with intervals.\n\n"
    "Each run is the pipeline of dvc.yaml in a clone under .clones, with this repository's DVC cache: what "
    "was made before, here or there, is not made again, and an interrupted command goes on where it was. It "
    "takes the settings and the code of a commit; what is edited and not committed stays out. "
    "docs/experiments.md says how to read the tables.",
)

OUT = Path(".trials")

TasksOption = Annotated[
    str, typer.Option(help="Tasks and subjects, with commas. Default: all in params.yaml.")
]
AdaptersOption = Annotated[
    str, typer.Option(help="Adapters of params.yaml, with commas; `none` is the base alone.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", help="KEY=VALUE, a setting other than in params.yaml. Repeat for more.",
        show_default=False,
    ),
]  # fmt: skip
ProfileOption = Annotated[
    str | None,
    typer.Option(help="Take the settings of a profile (conf/profile) instead of params.yaml's."),
]
RevisionOption = Annotated[str, typer.Option(help="Branch, tag or commit whose code and settings run.")]
OutOption = Annotated[Path, typer.Option(help="Where scores and tables are kept.")]
JobsOption = Annotated[int | None, typer.Option(min=1, help="Stages at a time; one a core if left out.")]
ResamplesOption = Annotated[int, typer.Option(min=100, help="Resamples of the bootstrap.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would run, with its settings and time, and stop.")
]


@app.command()
def gains(
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = ",".join(map(str, REPORTED_SEEDS)),
    tasks: TasksOption = "",
    adapters: AdaptersOption = "none,hint,oft",
    changes: SetOption = None,
    profile: ProfileOption = None,
    revision: RevisionOption = "HEAD",
    out: OutOption = OUT,
    jobs: JobsOption = None,
    resamples: ResamplesOption = 9999,
    dry_run: DryRunOption = False,
) -> None:
    """Say what each adapter adds over the base and over the hint encoder alone, with 95 % intervals.

    Every seed renders pictures of its own, trains and draws; base, adapters, and the targets before and after
    the autoencoder are judged on the same conditions. Prints a table for each score of each task, and writes
    gains.md, gains.json and scores.csv (every single score, a row each) into --out.

    `python -m flows.trials gains --tasks segm_ade20k --dry-run`

    `python -m flows.trials gains --seeds 0,1,2 --set train.max_train_steps=800`
    """
    exit_on_signals()
    with user_errors():
        chosen = dict(map(parse_change, changes or []))
        read = read_settings(revision, profile)
        trials = _make_trials(read, [chosen], parse_seeds(seeds), tasks, adapters, out)
        _run(read, trials, jobs, dry_run)
        if not dry_run:
            from flows.trials.results import write_gains

            typer.echo(f"\n{write_gains(trials, read.commit, out, _resampling(resamples))}")
            typer.echo(f"\nWritten to {out}: gains.md, gains.json, scores.csv.")


@app.command()
def sweep(
    values: Annotated[
        list[str],
        typer.Option("--sweep", help="KEY=VALUE,VALUE. Repeat for every combination.", show_default=False),
    ],
    seeds: Annotated[
        str, typer.Option(help="Seeds whose pictures no figure is reported on, with commas.")
    ] = str(VALIDATION_SEED),
    tasks: TasksOption = "",
    adapters: AdaptersOption = "oft",
    changes: SetOption = None,
    profile: ProfileOption = None,
    revision: RevisionOption = "HEAD",
    out: OutOption = OUT,
    jobs: JobsOption = None,
    resamples: ResamplesOption = 9999,
    dry_run: DryRunOption = False,
) -> None:
    """Choose settings on pictures that no reported figure uses.

    The miniature world renders other pictures for another seed, and a setting chosen on those of seed 1000
    has not seen those of seeds 0, 1 and 2, which are refused here. Prints the settings, the best first, and
    how far each is behind it; writes sweep.md and sweep.json into --out.

    `python -m flows.trials sweep --tasks segm_ade20k --sweep train.learning_rate=1e-3,2e-3
    --sweep adapters.oft.num_blocks=1,2,4`
    """
    exit_on_signals()
    with user_errors():
        fixed = dict(map(parse_change, changes or []))
        read = read_settings(revision, profile)
        numbers = parse_seeds(seeds)
        refuse_reported_seeds(numbers, int(read.values["seed"]))
        combined = [{**fixed, **varied} for varied in grid([parse_sweep(text) for text in values])]
        # Transfers are to data sets that are read, whose pictures every seed shares.
        trained = tasks or ",".join(name for kind in KINDS for name in read.values.get(f"{kind}_tasks", ()))
        trials = _make_trials(read, combined, numbers, trained, adapters, out)
        _refuse_fixed_pictures(trials[0])
        _run(read, trials, jobs, dry_run)
        if not dry_run:
            from flows.trials.results import write_sweep

            typer.echo(f"\n{write_sweep(trials, read.commit, out, _resampling(resamples))}")
            typer.echo(f"\nWritten to {out}: sweep.md, sweep.json.")


def _make_trials(
    read: Revision,
    settings: Sequence[dict[str, object]],
    seeds: Sequence[int],
    tasks: str,
    adapters: str,
    out: Path,
) -> list[Trial]:
    from flows.trials.trial import make_trial

    names, of_adapters = parse_names(tasks), parse_names(adapters)
    if not of_adapters:
        raise UserError("--adapters must name one adapter or more")
    return [
        make_trial(read, changes, seed, names, of_adapters, out / "runs")
        for changes in settings
        for seed in seeds
    ]


def _run(read: Revision, trials: Sequence[Trial], jobs: int | None, dry_run: bool) -> None:
    """Run the trials, or print them."""
    from flows.trials.estimate import estimate_seconds
    from flows.trials.reproduce import about, reproduce
    from flows.trials.run import describe_trial, run_trials

    seconds = estimate_seconds(trials, Path.cwd(), jobs)
    waiting = sum(bool(trial.missing) for trial in trials)
    if dry_run:
        for trial in trials:
            typer.echo(f"{trial.folder}: {describe_trial(trial)}")
    known = "how long is not known: no stage was timed here" if seconds is None else about(seconds)
    typer.echo(f"{waiting} of {len(trials)} trials to run{f', {known}' if waiting else ''}.")
    if not dry_run:
        run_trials(Path.cwd(), read.commit, trials, partial(reproduce, jobs=jobs), typer.echo)


def _refuse_fixed_pictures(trial: Trial) -> None:
    """Refuse tasks whose pictures are the same under every seed: none of them is free of reported figures."""
    from flows.trials.trial import condition_and_source
    from oft.datasets.reader import RENDERED_SOURCES
    from oft.params import parse_params

    params = parse_params(trial.values)
    for task in dict.fromkeys(part.task for part in trial.parts):
        _, source = condition_and_source(params, task)
        if source not in RENDERED_SOURCES:
            raise UserError(
                f"{task}: its data set comes from {source!r}, whose pictures are the same under every seed, "
                "so a sweep would choose on the pictures that figures are reported on; name other tasks "
                "with --tasks, or sweep on a data set of your own kept apart for it"
            )


def _resampling(num_resamples: int) -> Resampling:
    from experiments.gains.comparison import Resampling

    return Resampling(num_resamples=num_resamples)


if __name__ == "__main__":
    app()
