"""The page in Chromium, where the system has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from experiments.claims.findings import Findings

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

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


def test_a_phone_scrolls_no_page_sideways(browser: Any, page_file: Path) -> None:
    phone = browser.new_page(viewport=PHONE)
    phone.goto(page_file.as_uri())
    phone.wait_for_selector(".plot svg")
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    wide = phone.locator(".scroll").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.clientWidth).length"
    )
    assert wide  # tables and galleries scroll in boxes of their own
    assert (
        phone.evaluate("Math.max(...[...document.querySelectorAll('.plot svg')].map(one => one.clientWidth))")
        <= 390
    )
    phone.close()
