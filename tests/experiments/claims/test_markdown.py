from __future__ import annotations

import re
from dataclasses import replace

import pytest

from experiments.claims.findings import Claim, Findings
from experiments.claims.markdown import claims_table, results_table, verdicts_table
from experiments.claims.numbers import choose_decimals, format_estimate
from tests.experiments.claims.sample import make_findings


@pytest.fixture(scope="module")
def findings() -> Findings:
    return make_findings()


def rows_of(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]


def test_each_comparison_of_each_claim_has_a_row(findings: Findings) -> None:
    head, _, *rows = rows_of(claims_table(findings))
    assert head[-1] == "difference [95 % interval]"
    assert len(rows) == sum(max(len(claim.contrasts), 1) for claim in findings.claims)
    named = [row for row in rows if row[0]]
    assert [row[:2] for row in named] == [[claim.title, shown(claim)] for claim in findings.claims]
    assert rows[-1][2:] == ["–"] * 5  # nothing was measured of the last
    contrast = findings.claims[0].contrasts[0]
    assert rows[0][2:5] == [contrast.task_title, contrast.metric_title, contrast.label]
    assert rows[0][5] == f"{contrast.num_conditions} × {contrast.num_seeds}"
    assert re.fullmatch(r"\+0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", rows[0][6])
    assert float(rows[0][6].split()[0]) == round(contrast.estimate.value, 3)


def shown(claim: Claim) -> str:
    """Return a verdict as it stands in tables: in bold where something was decided."""
    return claim.verdict if claim.verdict in ("undecided", "not measured") else f"**{claim.verdict}**"


def test_each_claim_has_its_verdict(findings: Findings) -> None:
    """Questions of ours are marked, and the runs that the verdicts rest on are named."""
    ours = replace(findings.claims[0], in_paper=False)
    table, said = verdicts_table(replace(findings, claims=(ours, *findings.claims[1:]))).split("\n\n")
    _, _, *rows = rows_of(table)
    assert rows[0][0] == f"{ours.title} \\*"
    assert [row[1:] for row in rows] == [[claim.question, shown(claim)] for claim in findings.claims]
    assert said.startswith("171 of 189 runs so far, seeds 0, 1, 2.")


def test_bold_is_the_best_and_nothing_else(findings: Findings) -> None:
    parts = results_table(findings).split("\n\n")
    assert parts[::2] == [f"**{table.title}**" for table in findings.tables]
    for table, markdown in zip(findings.tables, parts[1::2], strict=True):
        _, _, *rows = rows_of(markdown)
        for row, shown in zip(table.rows, rows, strict=True):
            for column, cell in zip(table.columns, shown[1:], strict=True):
                assert cell.startswith("**") == (column.key in row.best)
                if column.key not in row.cells:
                    assert cell == "–"
                    continue
                measured = [one.cells[column.key] for one in table.rows if column.key in one.cells]
                text = format_estimate(row.cells[column.key], choose_decimals(measured))
                assert cell.replace("**", "") == text


def test_rows_are_of_one_width_and_text_stays_in_its_cell(findings: Findings) -> None:
    hostile = replace(findings.claims[0], title="a|b\n*c* <d> [e](f)")
    lines = claims_table(replace(findings, claims=(hostile, *findings.claims[1:]))).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert r"a&#124;b \*c\* \<d\> \[e\](f)" in lines[2]
