"""All checks of a run. A new one is a function in a file here, and an entry below."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from oft.doctor.adapters import check_adapters
from oft.doctor.finding import Check, Finding, Scope
from oft.doctor.inputs import check_base, check_datasets, check_networks, check_protocols
from oft.doctor.judges import check_judges
from oft.doctor.machine import check_account, check_disk, check_gpu
from oft.errors import ParamsError

if TYPE_CHECKING:
    from oft.params import Params

CHECKS: tuple[Check, ...] = (
    check_datasets,
    check_networks,
    check_protocols,
    check_base,
    check_adapters,
    check_judges,
    check_disk,
    check_gpu,
    check_account,
)


def examine(params: Params, root: Path, stages: Collection[str] | None = None) -> list[Finding]:
    """Return what all checks find, each finding once.

    Args:
        root: the repository's.
        stages: those about to run; None for all.
    """
    scope = Scope(stages)
    return list(dict.fromkeys(finding for check in CHECKS for finding in check(params, root, scope)))


def refuse_faults(findings: Collection[Finding]) -> None:
    """Refuse a run that would fail, for all reasons at once.

    Raises:
        ParamsError: it would.
    """
    faults = [finding for finding in findings if finding.level == "fault"]
    if faults:
        lines = "\n".join(f"  - {fault.about}: {fault.message}" for fault in faults)
        raise ParamsError(
            f"params.yaml: {len(faults)} thing(s) would stop this run; nothing has been started:\n{lines}"
        )
