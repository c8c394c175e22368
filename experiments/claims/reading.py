"""Findings read back from their file, and what must be true of them before they can be shown."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from experiments.claims.findings import Chart, Claim, Estimate, Findings, Gallery, Table
from oft.errors import DataError

MAX_FAULTS_SHOWN = 10

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def read_findings(path: Path) -> Findings:
    """Return the findings of ``findings.json``.

    Raises:
        DataError: the file is missing or no JSON, or a value is missing, unknown, of another type, or at odds
            with another; the message lists them.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; `make evidence` writes it") from None
    try:
        findings = TypeAdapter(Findings).validate_json(data, strict=True, extra="forbid")
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()]
        raise DataError(_message(str(path), faults)) from None
    check_findings(findings, str(path))
    return findings


def anchor(name: str, kind: str) -> str:
    """Return the permalink of a thing of the findings: its name behind its kind, once."""
    return name if name.startswith(f"{kind}-") else f"{kind}-{name}"


def names_by_kind(findings: Findings) -> dict[str, list[str]]:
    """Return the names of all that has a permalink, by its kind."""
    return {
        "claim": [one.name for one in findings.claims],
        "table": [one.name for one in findings.tables],
        "chart": [one.name for one in findings.charts],
        "gallery": [one.name for one in findings.galleries],
        "facts": [one.name for one in findings.facts],
    }


def check_findings(findings: Findings, source: str = "findings") -> None:
    """Hold findings to what the page relies on: names that can be addresses, references that lead somewhere.

    Args:
        source: what a message calls them.

    Raises:
        DataError: a name is no address or stands twice, a reference leads nowhere, an interval's ends are not
            in order, or a figure is not finite; the message lists all faults.
    """
    if faults := list(_faults(findings)):
        raise DataError(_message(source, faults))


def _message(source: str, faults: list[str]) -> str:
    shown = faults[:MAX_FAULTS_SHOWN]
    rest = [f"... and {len(faults) - len(shown)} more"] if len(faults) > len(shown) else []
    return "\n  ".join([f"{source}: not findings; write them anew with `make evidence`:", *shown, *rest])


def _faults(findings: Findings) -> Iterator[str]:
    if not 0 < findings.level < 1:
        yield f"level: a confidence lies between 0 and 1, not {findings.level}"
    for kind, names in names_by_kind(findings).items():
        yield from _name_faults(kind, names)
    for claim in findings.claims:
        yield from _claim_faults(claim)
    for table in findings.tables:
        yield from _table_faults(table)
    claims = [claim.name for claim in findings.claims]
    for chart in findings.charts:
        yield from _chart_faults(chart, claims)
    for gallery in findings.galleries:
        yield from _gallery_faults(gallery)


def _name_faults(kind: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"{kind}: the name {name!r} must be of letters, digits, - and _"
    for address, count in Counter(anchor(name, kind) for name in names).items():
        if count > 1:
            yield f"{kind}: the name {address!r} stands {count} times; names are permalinks, one each"


def _claim_faults(claim: Claim) -> Iterator[str]:
    where = f"claims.{claim.name}"
    for contrast in claim.contrasts:
        yield from _estimate_faults(f"{where}: {contrast.label} on {contrast.task}", contrast.estimate)
    if claim.contrasts and claim.verdict == "not measured":
        yield f"{where}: its verdict is 'not measured', yet it has contrasts"


def _table_faults(table: Table) -> Iterator[str]:
    where = f"tables.{table.name}"
    keys = [column.key for column in table.columns]
    yield from _repeats(f"{where}.columns", keys)
    yield from _repeats(f"{where}.rows", [row.name for row in table.rows])
    for row in table.rows:
        yield from _unknown(f"{where}.{row.name}.cells", row.cells, keys)
        yield from _unknown(f"{where}.{row.name}.best", row.best, row.cells)
        for key, estimate in row.cells.items():
            yield from _estimate_faults(f"{where}.{row.name}.{key}", estimate)


def _chart_faults(chart: Chart, claims: list[str]) -> Iterator[str]:
    where = f"charts.{chart.name}"
    yield from _unknown(f"{where}.claim", [chart.claim], claims)
    yield from _repeats(f"{where}.series", [series.name for series in chart.series])
    for series in chart.series:
        for point in series.points:
            yield from _estimate_faults(f"{where}.{series.name} at {point.x}", point.estimate)
            if not math.isfinite(point.x) or (chart.log_x and point.x <= 0):
                needed = "above 0" if chart.log_x else "finite"
                yield f"{where}.{series.name}: x is {point.x}; {needed} is needed"


def _gallery_faults(gallery: Gallery) -> Iterator[str]:
    yield from _repeats(f"galleries.{gallery.name}.columns", [key for key, _ in gallery.columns])


def _repeats(where: str, names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{where}: {name!r} stands {count} times"


def _unknown(where: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    known = list(known)
    for name in names:
        if name not in known:
            yield f"{where}: {name!r} is none of {', '.join(known) or 'nothing'}"


def _estimate_faults(where: str, estimate: Estimate) -> Iterator[str]:
    ends = (estimate.low, estimate.high)
    if not all(math.isfinite(end) for end in (estimate.value, *ends) if end is not None):
        yield f"{where}: {estimate} is not finite"
    elif (estimate.low is None) != (estimate.high is None):
        yield f"{where}: {estimate} has one end of an interval"
    elif estimate.low is not None and estimate.high is not None and estimate.low > estimate.high:
        yield f"{where}: the interval [{estimate.low}, {estimate.high}] is not in order"
