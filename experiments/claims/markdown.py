"""Claims and results as Markdown, for the README and docs/; it reads as plain text too."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.claims.findings import Claim, Column, Estimate, Findings, Row, Table
from experiments.claims.numbers import ARROWS, choose_decimals, decimals_of, format_range, format_value
from experiments.gains.tables import NONE, markdown_table
from experiments.paired import MIN_SEEDS

_CLAIM_COLUMNS = ("claim", "verdict", "task", "metric", "comparison", "n")


def verdicts_table(findings: Findings) -> str:
    """Return a table with a row for each claim: its question and its verdict."""
    rows = [(_title(claim), _cell(claim.question), _verdict(claim)) for claim in findings.claims]
    table = "\n".join(markdown_table(("claim", "question", "verdict"), rows, num_text=3))
    return f"{table}\n\n{_coverage(findings)} \\* A question of ours: the paper does not ask it."


def evidence_page(findings: Findings) -> str:
    """Return all comparisons and tables as one page of Markdown."""
    commits = ", ".join(commit[:10] for commit in findings.commits) or "none"
    return f"""# The paper's claims

{_coverage(findings)} Commits {commits}. \\* A question of ours: the paper does not ask it.

`make evidence` writes this page and the one with pictures and charts, [index.html](index.html);
[experiments.md](../experiments.md#evidence) says how they are made. A difference is bold where it is decided
even with all intervals of its claim holding at once; n is how many conditions and seeds a comparison is over.
Fewer than {MIN_SEEDS} seeds decide nothing.

{claims_table(findings)}

## Adapters side by side

{results_table(findings)}
"""


def _coverage(findings: Findings) -> str:
    """Return how much of the evidence there is."""
    seeds = ", ".join(map(str, findings.seeds)) or "none"
    return f"{findings.num_runs} of {findings.num_planned} runs so far, seeds {seeds}."


def _title(claim: Claim) -> str:
    return _cell(claim.title) + ("" if claim.in_paper else " \\*")


def _verdict(claim: Claim) -> str:
    """Return a verdict, in bold where something was decided."""
    return f"**{claim.verdict}**" if claim.verdict not in ("undecided", "not measured") else claim.verdict


def claims_table(findings: Findings) -> str:
    """Return a table with a row for each comparison of each claim; claim and verdict stand in its first row.

    A comparison has its difference with its interval.
    """
    head = (*_CLAIM_COLUMNS, f"difference [{findings.level * 100:g} % interval]")
    rows = [row for claim in findings.claims for row in _claim_rows(claim)]
    return "\n".join(markdown_table(head, rows, num_text=len(head)))


def _claim_rows(claim: Claim) -> Iterator[tuple[str, ...]]:
    first = (_title(claim), _verdict(claim))
    if not claim.contrasts:
        yield (*first, *[NONE] * 5)
    decimals = decimals_of(claim.contrasts)
    for place, one in enumerate(claim.contrasts):
        difference = _bold_value(one.estimate, decimals[one.metric], bold=one.stands_at_once, signed=True)
        words = (_cell(one.task_title), _cell(one.metric_title), _cell(one.label))
        over = f"{one.num_conditions:,} × {one.num_seeds}" if one.num_conditions else f"{one.num_seeds}"
        yield (*(first if place == 0 else ("", "")), *words, over, difference)


def results_table(findings: Findings) -> str:
    """Return each task's table under its title: adapters, their figures with intervals, the best in bold."""
    return "\n\n".join(f"**{_cell(table.title)}**\n\n{_result_table(table)}" for table in findings.tables)


def _result_table(table: Table) -> str:
    head = [
        "adapter",
        *(f"{_cell(column.title)} {ARROWS[column.direction]}".rstrip() for column in table.columns),
    ]
    columns = [_column_cells(column, table.rows) for column in table.columns]
    titles = [f"*{_cell(row.title)}*" if row.is_reference else _cell(row.title) for row in table.rows]
    return "\n".join(markdown_table(head, list(zip(titles, *columns, strict=True))))


def _column_cells(column: Column, rows: tuple[Row, ...]) -> list[str]:
    decimals = choose_decimals(row.cells[column.key] for row in rows if column.key in row.cells)
    cells = []
    for row in rows:
        if column.key not in row.cells:
            cells.append(NONE)
            continue
        cells.append(_bold_value(row.cells[column.key], decimals, bold=column.key in row.best))
    return cells


def _bold_value(estimate: Estimate, decimals: int, *, bold: bool, signed: bool = False) -> str:
    """Return an estimate with its interval; of what is bold the value is."""
    value = format_value(estimate, decimals, signed=signed)
    return f"{f'**{value}**' if bold else value} {format_range(estimate, decimals)}".rstrip()


def _cell(text: str) -> str:
    """Return text that stays in its cell and is shown as it is."""
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>|" else char for char in text)
    # A cell ends at a line's end; a bar ends it even behind a backslash in some programs.
    return " ".join(escaped.replace("\\|", "&#124;").split())
