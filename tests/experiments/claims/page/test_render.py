from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from experiments.claims.findings import Chart, Estimate, Findings, Point, Series
from experiments.claims.numbers import choose_decimals, format_estimate
from experiments.claims.page import render_page
from experiments.claims.page.charts import specify_chart
from experiments.claims.page.styles import style_series
from experiments.claims.page.views import summarise_claims
from experiments.claims.reading import anchor, names_by_kind
from oft.errors import UserError
from tests.html_page import Page

HOSTILE = "</p></script><script>alert('x')</script>\" onload=alert(1) {{ 7 * 7 }} & <b>"


@pytest.fixture(scope="module")
def html(page_file: Path) -> str:
    return page_file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_ids_are_unique_and_links_lead_somewhere(page: Page, findings: Findings) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for attributes in page.tags("a")}
    outside = {link for link in links if not link.startswith("#")}
    assert outside == {"https://arxiv.org/abs/2306.07280"}
    assert {link[1:] for link in links - outside} <= set(ids)
    permalinks = {a["href"][1:] for a in page.tags("a") if a.get("class") == "permalink"}
    for kind, names in names_by_kind(findings).items():
        assert {anchor(name, kind) for name in names} <= permalinks
    labels = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert labels <= set(ids)


def test_nothing_is_loaded(page: Page, html: str) -> None:
    for tag, attributes in page.elements:
        assert attributes.get("src", "data:").startswith("data:")
        assert tag != "link" or attributes["href"].startswith("data:")
        assert tag not in ("iframe", "object", "embed", "base")
        assert not any(name.startswith("on") for name in attributes)
    css = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert css and "url(" not in "".join(css) and "@import" not in "".join(css)
    [policy] = [a["content"] for a in page.tags("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-eval" not in policy and "http" not in policy
    assert policy.count("'sha256-") == len(page.tags("script")) - html.count("application/json") == 2


def test_bold_is_the_best(page: Page, findings: Findings, html: str) -> None:
    best = [
        format_estimate(
            row.cells[key], choose_decimals(one.cells[key] for one in table.rows if key in one.cells)
        )
        for table in findings.tables
        for row in table.rows
        for key in (column.key for column in table.columns)
        if key in row.best
    ]
    assert re.findall(r"<b>(.*?)</b>", html) == [text.split(" ")[0] for text in best]


def test_every_figure_is_text(page: Page, findings: Findings) -> None:
    text = page.text()

    def expect(estimates: list[Estimate], signed: bool = False) -> None:
        decimals = choose_decimals(estimates)
        for one in estimates:
            assert format_estimate(one, decimals, signed=signed) in text

    for claim in findings.claims:
        assert all(words in text for words in (claim.question, claim.paper, claim.differs))
        assert text.count(claim.answer) == 2  # in the table of answers and in the claim's own section
        for metric in {one.metric for one in claim.contrasts}:
            expect([one.estimate for one in claim.contrasts if one.metric == metric], signed=True)
    for table in findings.tables:
        for column in table.columns:
            expect([row.cells[column.key] for row in table.rows if column.key in row.cells])
    for chart in findings.charts:
        expect([point.estimate for series in chart.series for point in series.points])
    assert "171 of 189 runs" in text


def test_claims_of_the_paper_are_counted_apart(page: Page, findings: Findings, html: str) -> None:
    text = page.text()
    assert (
        "Of the paper’s 4 claims, 2 hold, 1 does not hold, 1 is undecided; "
        "of 2 further questions, 1 holds in part, 1 is not measured"
    ) in text
    assert text.count("A further question is") == 1
    marked = re.findall(r'>([^<]+)</a> <small class="further">further question</small></th>', html)
    assert marked == [claim.title for claim in findings.claims if not claim.in_paper]


def test_costs_are_looked_for_where_they_are(page: Page, html: str) -> None:
    assert "Settings and data" in page.text() and "Settings, costs, data" not in page.text()
    facts = html.partition('<section id="facts"')[2]
    assert re.search(r'costs, in parameters, seconds and memory, .*<a href="#tables">', facts)


def test_only_what_there_is_is_counted(findings: Findings) -> None:
    of_paper, further = findings.claims[:1], findings.claims[-1:]
    assert summarise_claims(of_paper) == "Of the paper’s 1 claim, 1 holds"
    assert summarise_claims(further) == "Of 1 further question, 1 is not measured"
    assert summarise_claims(()) == ""


def test_verdicts_are_words_as_well_as_colours(page: Page, html: str, findings: Findings) -> None:
    shown = re.findall(r'class="verdict \w+"><span aria-hidden="true">.</span> ([^<]+)<', html)
    assert len(shown) == 2 * len(findings.claims) + sum(len(claim.contrasts) for claim in findings.claims)
    assert set(shown) == {"holds", "holds in part", "does not hold", "undecided", "not measured"}


def test_pictures_tables_and_boxes_have_names(page: Page, html: str) -> None:
    assert page.tags("img") and all(image["alt"].strip() for image in page.tags("img"))
    assert html.count("<caption") == len(page.tags("table"))
    assert all("scope" in head for head in page.tags("th"))
    boxes = [a for tag, a in page.elements if tag == "div" and a.get("class") == "scroll"]
    assert boxes and all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)
    assert len(page.tags("main")) == len(page.tags("h1")) == len(page.tags("nav")) == 1


def test_the_same_findings_give_the_same_bytes(
    findings: Findings, folder: Path, page_file: Path, tmp_path: Path
) -> None:
    render_page(findings, folder, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page_file.read_bytes()


def test_text_of_others_stays_text(findings: Findings, folder: Path, page_file: Path, tmp_path: Path) -> None:
    claim = replace(findings.claims[2], title=HOSTILE, question=HOSTILE, answer=HOSTILE, paper=HOSTILE)
    chart = findings.charts[0]
    series = replace(chart.series[0], title=HOSTILE)
    gallery = findings.galleries[0]
    row = replace(gallery.rows[0], caption=HOSTILE + "\ud800")
    changed = replace(
        findings,
        claims=(claim,),
        charts=(replace(chart, title=HOSTILE, y_title=HOSTILE, series=(series, *chart.series[1:])),),
        galleries=(replace(gallery, title=HOSTILE, rows=(row,)),),
        facts=(replace(findings.facts[0], rows=((HOSTILE, HOSTILE),)),),
    )
    render_page(changed, folder, tmp_path / "hostile.html")
    html = (tmp_path / "hostile.html").read_text(encoding="utf-8")
    page = Page(html)
    assert len(page.tags("script")) == 3  # the library, the page's own, one chart's data
    assert not any("onload" in attributes for _, attributes in page.elements)
    assert page.text().count("{{ 7 * 7 }}") >= 8
    [data] = re.findall(r'<script type="application/json">(.*?)</script>', html)
    assert HOSTILE in json.dumps(json.loads(data), ensure_ascii=False).replace('\\"', '"')


def test_findings_without_anything_are_a_page_too(folder: Path, tmp_path: Path) -> None:
    empty = Findings((), (), 0.95, 0, 189, (), (), (), (), ())
    render_page(empty, folder, tmp_path / "empty.html")  # no charts: needs no Vega
    page = Page((tmp_path / "empty.html").read_text(encoding="utf-8"))
    assert "Nothing was asked yet" in page.text() and "0 of 189 runs" in page.text()
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {a["href"][1:] for a in page.tags("a") if a["href"].startswith("#")} <= ids


def axis_labels(chart: Chart) -> list[str]:
    """Return what the x axis says, drawn or left out for want of room."""
    specification = specify_chart(chart, style_series(series.name for series in chart.series))
    expression: str = specification["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]
    labels: list[str] = json.loads(expression.partition("[indexof(")[0])
    return labels


@pytest.mark.parametrize(
    ("kind", "log_x", "xs", "labels"),
    [
        ("scatter", False, [0.0059071902, 0.68552307], ["0", "0.2", "0.4", "0.6", "0.8"]),
        ("line", True, [230292, 281312, 587432], ["200,000", "300,000", "400,000", "500,000", "600,000"]),
        ("line", True, [6e-5, 2e-4, 2e-3], ["6 × 10⁻⁵", "0.0002", "0.002"]),
        ("line", False, [67.735359, 344.2627605], ["0", "100", "200", "300", "400"]),
        ("line", False, [70, 140, 275, 550], ["70", "140", "275", "550"]),
    ],
)
def test_axes_are_labelled_at_settings_or_at_round_numbers(
    kind: Literal["line", "scatter"], log_x: bool, xs: list[float], labels: list[str]
) -> None:
    points = tuple(Point(x, Estimate(0.5)) for x in xs)
    chart = Chart("one", "One", "claim", kind, "x", "y", log_x, "higher", (Series("oft", "OFT", points),))
    assert axis_labels(chart) == labels


def test_what_draws_charts_is_named_where_it_is_missing(
    findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    chart = findings.charts[0]
    with pytest.raises(UserError, match=r"altair: .* `make evidence`"):
        specify_chart(chart, style_series(series.name for series in chart.series))
