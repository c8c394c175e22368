"""The page in Chromium, where the system has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from experiments.claims.findings import Findings

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
A4 = {"width": 718, "height": 1047}
"""What Chromium's margins leave of it."""
SMALL_PHONE = {"width": 360, "height": 740}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")


@pytest.fixture(scope="module")
def browser(page_file: Path) -> Iterator[Any]:
    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def heard() -> list[str]:
    """What the page asked for and complained of."""
    return []


@pytest.fixture(scope="module")
def tab(browser: Any, page_file: Path, heard: list[str]) -> Any:
    opened = browser.new_page(viewport=WIDE, color_scheme="light", reduced_motion="reduce")
    opened.on("console", lambda message: heard.append(message.text))
    opened.on("pageerror", lambda fault: heard.append(str(fault)))
    opened.on("request", lambda request: heard.append(request.url))
    opened.goto(page_file.as_uri())
    opened.wait_for_function("document.querySelectorAll('.plot svg').length == 3")
    return opened


def test_it_asks_for_nothing_and_complains_of_nothing(tab: Any, heard: list[str], page_file: Path) -> None:
    assert [one for one in heard if not one.startswith("data:")] == [page_file.as_uri()]


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_words_along_an_axis_have_room(tab: Any, size: dict[str, int]) -> None:
    tab.set_viewport_size(size)
    tab.wait_for_function(
        "[...document.querySelectorAll('.plot')].every(one => one.firstElementChild.clientWidth <= "
        "one.clientWidth)"
    )
    axes = tab.locator(".plot .role-axis-label").evaluate_all(
        """all => all.map(axis => [...axis.querySelectorAll('text')].filter(
            word => getComputedStyle(word).opacity > 0).map(word => word.getBoundingClientRect().toJSON()))"""
    )
    tab.set_viewport_size(WIDE)
    for words in axes:
        assert len(words) > 1
        for one, other in combinations(words, 2):
            left, right = sorted((one, other), key=lambda word: float(word["left"]))
            upper, lower = sorted((one, other), key=lambda word: float(word["top"]))
            assert left["right"] + 4 <= right["left"] or upper["bottom"] <= lower["top"]


def test_charts_have_a_mark_for_each_figure_and_answer_the_pointer(tab: Any, findings: Findings) -> None:
    for chart in findings.charts:
        marks = tab.locator(f"#chart-{chart.name} .plot .mark-symbol path")
        assert marks.count() == sum(len(series.points) for series in chart.series)
    plot = tab.locator("#chart-rates .plot")
    plot.scroll_into_view_if_needed()
    place = plot.locator(".mark-symbol path").nth(7).bounding_box()
    tab.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    tooltip = tab.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    series = findings.charts[0].series[1]
    row = tab.locator("#chart-rates table tbody tr").nth(7)
    assert tooltip.locator("h2").inner_text() == series.title == row.locator("th").text_content()
    shown = tooltip.locator("td.value").all_inner_texts()
    assert shown == [" ".join(text.split()) for text in row.locator("td").all_text_contents()]


def test_tables_sort_by_pointer_and_by_keyboard(tab: Any, findings: Findings) -> None:
    table = findings.tables[0]
    metric, distance = table.columns[0].key, table.columns[1].key
    section = tab.locator(f"#{table.name}")
    titles = section.locator("tbody th")

    def order() -> list[str]:
        return [text.split(" reference")[0].strip() for text in titles.all_text_contents()]

    best_first = sorted(table.rows, key=lambda row: -row.cells[metric].value)
    section.get_by_role("button").nth(1).click()
    assert order() == [row.title for row in best_first]
    section.get_by_role("button").nth(1).press("Enter")
    assert order() == [row.title for row in reversed(best_first)]
    section.get_by_role("button").nth(2).press("Space")
    nearest_first = sorted(table.rows, key=lambda row: row.cells[distance].value)
    assert order() == [row.title for row in nearest_first]
    sorts = section.locator("thead th").evaluate_all("all => all.map(one => one.ariaSort)")
    assert sorts == ["none", "none", "ascending", "none", "none"]
    section.get_by_role("button").nth(3).click()
    measured = [row for row in table.rows if "trainable_parameters" in row.cells]
    assert set(order()[len(measured) :]) == {row.title for row in table.rows if row not in measured}


def test_pictures_load_at_whole_factors_without_smoothing(tab: Any) -> None:
    images = tab.eval_on_selector_all(
        "img", "all => all.map(one => [one.naturalWidth, one.width, getComputedStyle(one).imageRendering])"
    )
    assert images and all(image == [64, 128, "pixelated"] for image in images)


def test_a_permalink_appears_on_focus_and_unfolds_its_facts(tab: Any) -> None:
    link = tab.locator("a.permalink[href='#facts-costs']")
    assert link.evaluate("one => getComputedStyle(one).opacity") == "0"
    link.focus()
    assert link.evaluate("one => getComputedStyle(one).opacity") == "1"
    assert not tab.locator("#facts-costs details").evaluate("one => one.open")
    link.press("Enter")
    tab.wait_for_function("document.querySelector('#facts-costs details').open")


def test_the_dark_scheme_colours_text_and_charts(tab: Any) -> None:
    colours = """() => [document.body, document.querySelector('.plot .role-axis-label text')].map(
        one => getComputedStyle(one)).map((style, place) => place ? style.fill : style.backgroundColor)"""
    light = tab.evaluate(colours)
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(colours)
    tab.emulate_media(color_scheme="light")
    assert light == ["rgb(255, 255, 255)", "rgb(85, 91, 101)"]
    assert dark == ["rgb(21, 23, 26)", "rgb(163, 169, 179)"]


def test_paper_has_everything_unfolded_and_no_contents_list(tab: Any) -> None:
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert tab.eval_on_selector_all("details", "all => all.every(one => one.open)")
    assert not tab.locator("nav").is_visible()
    assert tab.pdf(format="A4").startswith(b"%PDF")
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not tab.eval_on_selector_all("details", "all => all.every(one => one.open)")


def test_nothing_overlaps_on_paper_or_runs_off_it(browser: Any, page_file: Path) -> None:
    paper = browser.new_page(viewport=A4)
    paper.goto(page_file.as_uri())
    paper.wait_for_selector(".plot svg")
    paper.evaluate("dispatchEvent(new Event('beforeprint'))")
    paper.emulate_media(media="print")
    assert paper.evaluate("document.documentElement.scrollWidth") <= A4["width"]
    shown = paper.locator("table:visible, .chart, .plot svg, .cards li, img")
    boxes = shown.evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    assert boxes and max(boxes) <= A4["width"]
    for charts in paper.locator(".charts").all():
        figures = charts.locator("> .chart").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().toJSON())"
        )
        assert len({figure["left"] for figure in figures}) == 1
        assert all(one["bottom"] <= other["top"] for one, other in pairwise(figures))
    kept_whole = paper.locator("figure, .cards li, .pictures tbody").evaluate_all(
        "all => all.map(one => getComputedStyle(one).breakInside)"
    )
    assert set(kept_whole) == {"avoid"}
    paper.close()


@pytest.fixture(scope="module", params=[PHONE, SMALL_PHONE], ids=lambda size: size["width"])
def phone(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    opened = browser.new_page(viewport=request.param)
    opened.goto(page_file.as_uri())
    opened.wait_for_selector(".plot svg")
    yield opened
    opened.close()


def test_a_phone_scrolls_no_page_sideways(phone: Any) -> None:
    width = phone.viewport_size["width"]
    assert phone.evaluate("document.documentElement.scrollWidth") <= width
    wide = phone.locator(".scroll").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.clientWidth).length"
    )
    assert wide  # tables and galleries scroll in boxes of their own
    widths = phone.locator(".plot svg").evaluate_all("all => all.map(one => one.clientWidth)")
    assert max(widths) <= width


def test_a_phone_shows_difference_and_verdict_below_the_bar(phone: Any, findings: Findings) -> None:
    boxes = phone.locator(".scroll:has(> .contrasts)")
    assert boxes.count() == sum(bool(claim.contrasts) for claim in findings.claims)
    assert boxes.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
    rows = phone.locator(".contrasts tr:not(.group, thead tr)").evaluate_all(
        "all => all.map(row => [...row.cells].map(cell => cell.getBoundingClientRect().toJSON()))"
    )
    assert len(rows) == sum(len(claim.contrasts) for claim in findings.claims)
    for title, bar, difference, verdict in rows:
        assert title["bottom"] <= bar["top"] < bar["bottom"] <= difference["top"]
        assert difference["top"] == verdict["top"] and difference["right"] <= verdict["left"]
    # Blocks and grids are no tables to a screen reader unless they say so.
    table = phone.get_by_role("table", name=f"{findings.claims[0].title}: differences")
    contrast = findings.claims[0].contrasts[0]
    assert table.get_by_role("rowheader", name=contrast.label, exact=True).count() == 3
    assert table.get_by_role("columnheader").all_text_contents() == [
        "Comparison", "Interval", "Difference", "Verdict",
    ]  # fmt: skip


def test_the_heading_of_the_names_stays_above_them(phone: Any) -> None:
    table = phone.locator(".sortable").first
    box = phone.locator(".scroll:has(> .sortable)").first
    box.evaluate("one => one.scrollLeft = 200")
    lefts = [
        table.locator(head).first.evaluate("one => one.getBoundingClientRect().left")
        for head in ("thead th", "tbody th")
    ]
    box.evaluate("one => one.scrollLeft = 0")
    assert lefts == [16, 16]
