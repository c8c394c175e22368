"""The page of the sample findings, drawn once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.claims.findings import Findings
from experiments.claims.page import render_page
from tests.experiments.claims.sample import make_findings


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures of `findings` lie."""
    return tmp_path_factory.mktemp("findings")


@pytest.fixture(scope="session")
def findings(folder: Path) -> Findings:
    """The sample's, of whose claims two are further questions and one holds in part."""
    made = make_findings(folder)
    *of_paper, coft, users = made.claims
    further = (replace(coft, in_paper=False, verdict="holds in part"), replace(users, in_paper=False))
    return replace(made, claims=(*of_paper, *further))


@pytest.fixture(scope="session")
def page_file(findings: Findings, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a file, where Altair and vl-convert are installed (the extra evidence)."""
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    out = tmp_path_factory.mktemp("page") / "new" / "index.html"
    render_page(findings, folder, out)
    return out
