"""What the repository publishes is made of its findings, not typed."""

from __future__ import annotations

from experiments.claims.markdown import evidence_page, verdicts_table
from experiments.claims.reading import read_findings
from flows.evidence.__main__ import OUT, README
from flows.evidence.run import BEGIN, END, FINDINGS, MARKDOWN, PAGE
from oft.report.showcase import put_between
from tests.conftest import ROOT


def test_readme_and_pages_are_those_of_the_findings() -> None:
    """`make evidence ARGS=--page-only` writes them anew."""
    findings = read_findings(ROOT / OUT / FINDINGS)
    readme = (ROOT / README).read_text(encoding="utf-8")

    assert put_between(readme, verdicts_table(findings), BEGIN, END) == readme
    assert (ROOT / OUT / MARKDOWN).read_text(encoding="utf-8") == evidence_page(findings)
    page = (ROOT / OUT / PAGE).read_text(encoding="utf-8")
    assert all(f'id="claim-{claim.name}"' in page for claim in findings.claims)
