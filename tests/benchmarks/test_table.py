"""The document holds what the results hold, and the one in docs/ is made of the results beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.table import accuracy_table, case_table, markdown_table, milliseconds, read_results, render
from oft.errors import DataError
from oft.storage import write_json
from tests.conftest import ROOT


@pytest.fixture
def results() -> dict[str, Any]:
    good = {
        "variant": "oft-r4",
        "title": "OFT, r = 4",
        "adapted_layers": 9,
        "trained_parameters": 12345,
        "step_ms": [12.34, 20.0],
        "min_ms": 12.34,
        "median_ms": 16.17,
        "times_frozen": 1.234,
        "peak_mib": 4321.06,
    }
    bad = {"variant": "bad", "title": "a bad one", "failed": "RuntimeError: pivots"}
    return {
        "command": "python -m benchmarks --rounds 2",
        "machines": {"cpu": {"cpu": "Some CPU", "cores": 2, "threads": 1}},
        "versions": {"torch": "9.8"},
        "settings": {"rounds": 2, "clip_norm": 1.0},
        "cases": [
            {
                "case": "tiny",
                "title": "training step of a tiny block",
                "device": "cpu",
                "precision": "float32",
                "rows": [good, bad],
            }
        ],
        "accuracy": [
            {
                "device": "cpu",
                "rows": [
                    {
                        "block_size": 16,
                        "std": 0.01,
                        "ours": 1.25e-8,
                        "peft_exact": "RuntimeError: pivots",
                        "peft_neumann": 0.5,
                        "ours_deviation": 0.0,
                    }
                ],
            }
        ],
        "left_out": [{"case": "sd15-64", "variant": None, "device": "cpu", "reason": "too large"}],
    }


def test_a_table_is_padded_and_aligned() -> None:
    assert markdown_table(["name", "ms"], [["a", "1"], ["b|c", "23.5"]]).splitlines() == [
        "| name |   ms |",
        "| ---- | ---: |",
        "| a    |    1 |",
        "| b\\|c | 23.5 |",
    ]


def test_a_row_holds_the_figures_of_its_variant(results: dict[str, Any]) -> None:
    lines = case_table(results["cases"][0]).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "OFT, r = 4",
        "9",
        "12,345",
        "12.3",
        "16.2",
        "1.23",
        "4,321.1",
    ]


def test_a_failure_is_no_figure(results: dict[str, Any]) -> None:
    failed = case_table(results["cases"][0]).splitlines()[3]
    assert "failed" in failed
    assert not any(character.isdigit() for character in failed)
    accuracy = accuracy_table(results["accuracy"][0]["rows"]).splitlines()[2]
    assert [cell.strip() for cell in accuracy.strip("|").split("|")] == [
        "16",
        "0.01",
        "1.2e-08",
        "failed",
        "5.0e-01",
        "0.0e+00",
    ]


def test_the_document_says_what_made_it(results: dict[str, Any]) -> None:
    text = render([Path("docs/benchmarks/a.json")], [results])
    for expected in (
        "python -m benchmarks --table docs/benchmarks/a.json",
        "`python -m benchmarks --rounds 2`",
        "Some CPU",
        "torch 9.8",
        "timed steps of each variant: 2",
        "### Training step of a tiny block (cpu, float32)",
        "- a bad one failed: `RuntimeError: pivots`",
        "- cpu: sd15-64: too large",
        "OFT, r = 4",
    ):
        assert expected in text


def test_runs_stand_side_by_side(results: dict[str, Any]) -> None:
    other = {
        **results,
        "machines": {"cuda": {"cpu": "Some CPU", "gpu": "Some GPU", "cores": 2, "threads": 1}},
    }
    text = render([Path("a.json"), Path("b.json")], [results, other])
    assert text.index("## Some CPU") < text.index("## Some GPU")


def test_milliseconds_keep_three_digits() -> None:
    assert [milliseconds(value) for value in (0.456, 1.234, 12.34, 123.4, 12345.6)] == [
        "0.46",
        "1.23",
        "12.3",
        "123",
        "12,346",
    ]


def test_results_are_read_back(results: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


@pytest.mark.parametrize("text", ["", "[]", '{"cases": []}'])
def test_a_file_of_another_kind_is_named(tmp_path: Path, text: str) -> None:
    source = tmp_path / "other.json"
    source.write_text(text)
    with pytest.raises(DataError, match=r"other\.json"):
        read_results(source)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json"):
        read_results(tmp_path / "none.json")


def test_the_published_document_is_made_of_the_published_results() -> None:
    published = ROOT / "docs" / "benchmarks.md"
    sources = sorted((ROOT / "docs" / "benchmarks").glob("*.json"))
    if not sources and not published.exists():
        pytest.skip("no measurement is published")
    text = render(
        [source.relative_to(ROOT) for source in sources], [read_results(source) for source in sources]
    )
    assert published.read_text(encoding="utf-8") == text, (
        "python -m benchmarks --table docs/benchmarks/*.json"
    )
