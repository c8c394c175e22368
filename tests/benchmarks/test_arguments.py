"""The help comes without torch, and its patterns cover every name."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from subprocess import run

from benchmarks.arguments import CASES, VARIANTS
from benchmarks.cases import all_cases
from benchmarks.variants import all_variants
from tests.conftest import ROOT


def test_help_imports_no_torch() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "benchmarks", "--help"]
    helped = run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--cases" in helped.stdout
    imported = {line.rpartition("|")[2].strip() for line in helped.stderr.splitlines()}
    assert "benchmarks.arguments" in imported and "torch" not in imported


def test_patterns_of_the_help_cover_every_case_and_variant() -> None:
    for names, patterns in (
        ([case.name for case in all_cases()], CASES),
        ([variant.name for variant in all_variants()], VARIANTS),
    ):
        assert all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in names)
        assert all(any(fnmatchcase(name, pattern) for name in names) for pattern in patterns)
