"""The command `oft doctor`."""

from __future__ import annotations

from pathlib import Path

import typer

from oft.params import load_params


def doctor_command() -> None:
    """Say what would stop a run of params.yaml, and what it would end without; nothing is started or changed.

    Looks at settings, sources of data and their licences, the base, adapters on the base's layers, judges,
    disk, GPU, packages and accounts. `make repro` looks at the same for the stages that it is about to run.
    Status 0: nothing would stop it; 1: something would.
    """
    from oft.doctor.examination import examine

    findings = examine(load_params(), Path())
    order = ("ok", "warning", "fault")  # what matters last, next to the prompt
    for finding in sorted(findings, key=lambda finding: order.index(finding.level)):
        typer.echo(str(finding))
    faults = sum(finding.level == "fault" for finding in findings)
    typer.echo(f"{faults} thing(s) would stop a run" if faults else "nothing would stop a run")
    if faults:
        raise typer.Exit(1)
