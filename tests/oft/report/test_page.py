from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from oft.params import parse_params
from oft.report import edge_reextractor, read_telemetry, render, render_telemetry
from oft.report.results import Picture, Piece, ReportData
from oft.report.views import anchor, picture_uri
from tests.html_page import Page
from tests.oft.report.conftest import collect_run

HOSTILE = "</p><script>alert('x')</script>\" onload=alert(1) {{ 7 * 7 }} & \u202e \ud800 $\\frac <b>"
SEGM = Path("runs") / "segm_ade20k"


def render_html(root: Path, values: dict[str, Any], out: Path, num_rows: int = 2) -> str:
    render(collect_run(root, values, num_rows), out)
    return (out / "index.html").read_text(encoding="utf-8")


def render_page(root: Path, values: dict[str, Any], out: Path, num_rows: int = 2) -> Page:
    return Page(render_html(root, values, out, num_rows))


@pytest.fixture(scope="module")
def html(rendered: Path) -> str:
    return (rendered / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_is_self_contained(page: Page, html: str) -> None:
    addresses = [value for _, a in page.elements for name, value in a.items() if name in ("src", "href")]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert page.tags("script") == [] and page.tags("iframe") == []
    assert "http:" not in html and "https:" not in html and "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []


def test_page_is_light(rendered: Path) -> None:
    assert (rendered / "index.html").stat().st_size < 500_000


def test_links_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.tags("a")} <= set(ids)
    assert {"task-segm_ade20k", "task-canny_coco", "task-subject_duck_toy", "data", "settings"} <= set(ids)


def test_every_picture_has_a_text(page: Page) -> None:
    assert page.tags("img")
    assert all(image["alt"].strip() for image in page.tags("img"))


def test_every_metric_appears(page: Page, pristine_run: Path) -> None:
    shown = {" ".join(words.split()) for words in page.words} | {
        a.get("title", "") for a in page.tags("span")
    }
    for path in pristine_run.glob("runs/*/*/metrics.json"):
        for key in json.loads(path.read_text()):
            assert key in shown, key
    assert {
        "brand_new_key",
        "kernel_distance_reconstruction",
        "0.400",
        "345,600",
        "3.1 × 10⁻⁷",
        "ddim",
    } <= shown


def test_headline_says_how_much_was_closed(page: Page) -> None:
    # none .1, hint .25, oft .4, coft .7, autoencoder .8; a subject has no hint, and real pictures .9
    text = page.text()
    for share in ("21 % [21, 21] closed", "43 % [43, 43] closed", "86 % [86, 86] closed"):
        assert text.count(share) == 2
    assert "75 % [73, 76] closed" in text


def test_every_task_says_in_words_what_was_learned(page: Page) -> None:
    text = page.text()
    learned = (
        "OFT closes 43 % [43, 43] of the distance from the base to what the autoencoder can show; the hint "
        "encoder alone 21 % [21, 21]. Of what the hint encoder leaves, OFT closes 27 % [27, 27]. COFT closes"
    )
    assert text.count(learned) == 2
    assert (
        "OFT closes 37 % [37, 38] of the distance from the base to the likeness of the real pictures" in text
    )
    assert "Mean IoU (miniature segmenter) over 8 conditions" in text
    assert "OFT: 345,600 trained parameters: hint encoder 86,400 (25 %), rotations 259,200 (75 %)." in text
    assert "the judge found" not in text and "the miniature segmenter found" in text


def test_no_name_misleads(page: Page, html: str) -> None:
    """Rendered pictures are never called by the data set whose layout they have, nor figures by a network."""
    shown = html[: html.index('<section id="settings">')]
    tags = "h2|h3|th|dt|figcaption"
    for title in re.findall(rf"<(?:{tags})\b[^>]*>(.*?)</(?:{tags})>", shown, re.DOTALL):
        words = re.sub(r"miniature world, in [\w-]+&#39;s layout|href=.*?>", "", title)
        assert not re.search("ade20k|coco|dreambooth|dino|clip|lpips", words.lower()), title
    assert "miniature world, in ADE20K's layout" in page.text()


def test_published_names_stand_with_published_judges(
    pristine_run: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    values["evaluate"]["judges"] = "data/judges/sd15"
    values["datasets"]["dreambooth"]["acquire"] |= {"source": "download", "accept_licence": True}
    values["control_tasks"], values["base_tasks"] = [], ["subject_duck_toy"]
    text = render_page(pristine_run, values, tmp_path / "out").text()
    assert "Likeness to the subject (DINO)" in text and "(miniature extractor)" not in text
    assert "Subject “duck toy” (DreamBooth)" in text


def test_a_transfer_names_the_task_its_adapter_learned(
    pristine_run: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    values["transfers"] = {
        "canny_coco-oft": {"task": "canny_coco", "adapter": "oft", "trained_on": "segm_ade20k"}
    }
    values["control_tasks"], values["subject_tasks"], values["base_tasks"] = ["segm_ade20k"], [], []
    text = render_page(pristine_run, values, tmp_path / "out").text()
    assert "OFT is that of “Region map to picture (miniature world, in ADE20K's layout)”." in text


def test_where_pictures_have_no_scores_nothing_is_said_of_what_was_learned(
    run_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    values["control_tasks"], values["subject_tasks"], values["base_tasks"] = (
        ["segm_ade20k"],
        [],
        ["segm_ade20k"],
    )
    assert "<b>0.700</b>" in render_html(run_folder, values, tmp_path / "before")
    (run_folder / SEGM / "none" / "plots" / "class_pixels.json").unlink()
    html = render_html(run_folder, values, tmp_path / "out")
    assert "No interval can be given" in html and "closes" not in html and "<b>0.700</b>" not in html


def test_a_run_without_judges_shows_its_pictures_and_says_once_that_nothing_was_judged(
    run_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    for file in (run_folder / SEGM).glob("*/metrics.json"):
        file.write_text('{"missing_judges": "clip, segmenter", "num_images": 8}', encoding="utf-8")
        (file.parent / "plots" / "per_image.json").write_text("[]", encoding="utf-8")
        (file.parent / "plots" / "class_pixels.json").write_text("[]", encoding="utf-8")
    html = render_html(run_folder, values, tmp_path / "out")
    assert html.count("evaluate.judges has no clip, segmenter") == 1
    assert html.count("<img") > 10


def test_explanations_are_there(page: Page) -> None:
    text = page.text()
    for words in (
        "Orthogonal finetuning",
        "rotation",
        "higher is better",
        "lower is better",
        "Distance closed",
        "miniature world",
        "Tasks with a condition: 60 steps of 4 pictures",
    ):
        assert words in text


def test_grids_head_their_columns(page: Page, rendered: Path) -> None:
    text = page.text()
    assert "Condition Target Base alone Hint encoder alone OFT COFT" in text
    assert sorted(path.name for path in (rendered / "grids").iterdir()) == [
        "canny_coco.png",
        "data-canny_coco.png",
        "data-segm_ade20k.png",
        "data-subject_duck_toy.png",
        "segm_ade20k.png",
        "subject_duck_toy.png",
        "why-angles.png",
    ]


def test_reextracted_conditions_are_shown_for_canny_alone(page: Page) -> None:
    again = [image["alt"] for image in page.tags("img") if "again" in image.get("class", "")]
    assert len(again) == 3 * 4
    assert "Below each generated picture are the edges found again" in page.text()


def test_curves_confusion_and_magnitude_are_shown(page: Page) -> None:
    text = page.text()
    for words in ("Training: loss", "Training: validation loss", "Magnitude fitting: loss", "−50.00 %"):
        assert words in text
    # Two curves of training and one of the fitting for each task; one task's four confusion tables.
    assert len(page.tags("svg")) == 3 * 3 + 4


def test_failures_and_counts_are_shown(page: Page) -> None:
    text = page.text()
    assert "Pixel accuracy (miniature segmenter) 0.220" in text
    assert "train: 2 × file ends early broken.jpg" in text


def test_every_task_shows_the_card_and_samples_of_its_data(page: Page) -> None:
    text = page.text()
    assert text.count("Licences CC0 1.0 (15)") == 2 and text.count("Licences CC0 1.0 (7)") == 1
    assert "Condition canny (high_threshold 200, low_threshold 100)" in text
    assert "Subject duck_toy (identifier sks)" in text
    shown = [
        image["alt"].partition(":")[0] for image in page.tags("img") if image["alt"].endswith("by the lake")
    ]
    assert (shown.count("Condition"), shown.count("Picture")) == (2 * 3, 3 * 3)


def test_the_experiment_with_angles_shows_pictures_and_figures(page: Page) -> None:
    text = page.text()
    assert "Input Full activation Angle alone Magnitude alone" in text
    for words in (
        "on 345 pictures (miniature world, in ADE20K's layout)",
        "N = 12 held-out",
        "Mean training picture",
        "21.8",
        "0.625",
    ):
        assert words in text
    drawn = [image["alt"] for image in page.tags("img") if image["alt"].startswith("Angle alone")]
    assert drawn == ["Angle alone, picture 1", "Angle alone, picture 2"]
    assert "#angles" in [link["href"] for link in page.tags("a")]


def test_without_the_experiment_with_angles_nothing_is_said_of_it(
    run_folder: Path, values: dict[str, Any], tmp_path: Path
) -> None:
    shutil.rmtree(run_folder / "runs" / "angles")
    page = render_page(run_folder, values, tmp_path / "out")
    assert "Why angles" not in page.text()
    assert "angles" not in [section.get("id") for section in page.tags("section")]
    assert not (tmp_path / "out" / "grids" / "why-angles.png").exists()


def test_telemetry_is_a_page_of_its_own(page: Page, pristine_run: Path, tmp_path: Path) -> None:
    render_telemetry(read_telemetry(pristine_run), tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "1 min 35 s" in text and "3.0 GiB" in text and "train@segm_ade20k-oft" in text
    assert "1 min 35 s" not in page.text()


def test_settings_are_shown(page: Page) -> None:
    assert "max_train_steps: 60" in page.text()


def test_same_run_elsewhere_gives_the_same_bytes(
    pristine_run: Path,
    rendered: Path,
    values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = Path(shutil.copytree(pristine_run, tmp_path / "another place" / "run"))
    monkeypatch.chdir(copy)  # and by a relative path
    again = collect_run(Path(), values, num_rows=3)
    render(again, tmp_path / "out", reextract=edge_reextractor(parse_params(values)))
    files = sorted(path.relative_to(rendered) for path in rendered.rglob("*") if path.is_file())
    assert len(files) == 8
    for name in files:
        assert (tmp_path / "out" / name).read_bytes() == (rendered / name).read_bytes(), name


def test_damaged_runs_name_no_folder_either(run_folder: Path, values: dict[str, Any], tmp_path: Path) -> None:
    for path in run_folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\x00broken")
    page = render_page(run_folder, values, tmp_path / "out")
    text = page.text()
    assert str(tmp_path) not in text and os.uname().nodename not in text
    assert text.count("cannot be read") > 20


def test_each_adapter_shows_what_it_drew_while_it_was_trained(page: Page) -> None:
    grids = [image["alt"] for image in page.tags("img") if "validation grid" in image["alt"]]
    of_oft = [f"OFT, validation grid of step {step}" for step in (15, 45, 60)]
    assert [alt for alt in grids if alt.startswith("OFT,")] == 3 * of_oft
    assert len(grids) == 3 * (3 + 3 + 2)
    assert "step 45" in page.text() and "While it was trained" in page.text()


def test_all_that_is_missing_is_on_the_page(values: dict[str, Any], tmp_path: Path) -> None:
    report = collect_run(tmp_path, values, num_rows=2, seed=0)
    render(report, tmp_path / "out")
    text = Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8")).text()
    notes = [*report.notes, *(note for task in report.tasks for note in task.notes)]
    # The experiment with angles is no part of a run's plan: not run, it is not missed.
    assert {note.piece for note in notes} == set(get_args(Piece)) - {"angles"}
    assert all(note.text in text for note in notes)
    for words in (
        "Nothing has been measured",
        "There are no pictures to compare",
        "There are no pictures of the subject to show",
        "There are no samples to show",
        "No pictures yet",
    ):
        assert words in text


def test_a_run_of_no_task_is_a_page(values: dict[str, Any], tmp_path: Path) -> None:
    nothing = values | {"control_tasks": [], "subject_tasks": [], "base_tasks": []}
    text = render_page(tmp_path, nothing, tmp_path / "out").text()
    assert "There are no runs" in text and "There is nothing to show yet" in text


def test_hostile_words_stay_words(
    run_folder: Path,
    values: dict[str, Any],
    tmp_path: Path,
    write_samples: Callable[..., None],
    draw_picture: Callable[..., Picture],
) -> None:
    run = run_folder / SEGM / "oft"
    write_samples(run / "samples", [("val01", 0, draw_picture(1), HOSTILE)])
    metrics = {"miou": 0.5, HOSTILE: HOSTILE}
    (run / "metrics.json").write_text(json.dumps(metrics))
    cells = [{"actual": HOSTILE, "predicted": HOSTILE, "share": 0.9}]
    (run / "plots" / "confusion.json").write_text(json.dumps(cells))
    card = run_folder / "data" / "shards" / "segm_ade20k" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"source": HOSTILE}))
    counts = {"train": {"seen": 1, "kept": 0, "dropped": {HOSTILE: 1}, "offenders": {HOSTILE: [HOSTILE]}}}
    (run_folder / "data" / "raw" / "ade20k.counts.json").write_text(json.dumps(counts))
    values["control_tasks"], values["subject_tasks"], values["base_tasks"] = ["segm_ade20k"], [], []
    values["base"]["source"] = HOSTILE
    page = render_page(run_folder, values, tmp_path / "out")
    assert page.tags("script") == []
    assert not any("onload" in attributes for _, attributes in page.elements)
    assert "alert('x')" in page.text() and "{{ 7 * 7 }}" in page.text()
    policy = next(meta for meta in page.tags("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy["content"]


def test_equal_noise_is_claimed_only_where_seeds_are_equal(
    run_folder: Path,
    values: dict[str, Any],
    tmp_path: Path,
    write_samples: Callable[..., None],
    draw_picture: Callable[..., Picture],
) -> None:
    values["control_tasks"], values["base_tasks"] = [], ["subject_duck_toy"]
    values["control_adapters"] = values["subject_adapters"] = ["oft"]
    claim = "drawn from the same noise"
    assert claim in render_page(run_folder, values, tmp_path / "equal").text()
    # The writer of these samples gives each index another seed.
    folder = run_folder / "runs" / "subject_duck_toy" / "oft" / "samples"
    write_samples(folder, [("prompt01", 1, draw_picture(1), "p")])
    text = render_page(run_folder, values, tmp_path / "other").text()
    assert claim not in text and "seeds differ: Base alone 1000, OFT 1001" in text


def test_anchors_stay_in_the_folder() -> None:
    for name in ("a\\<b> x", "../..", ""):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", anchor(name))


def test_small_pictures_are_kept_exactly(draw_picture: Callable[..., Picture]) -> None:
    import base64
    import io

    picture = draw_picture(3, side_px=64)
    head, _, data = picture_uri(picture).partition(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), picture)
    large = picture_uri(draw_picture(3, side_px=512))
    assert large.startswith("data:image/jpeg") and len(large) < 60_000


def test_old_grids_do_not_stay_half_written(rendered: Path) -> None:
    assert not [path for path in rendered.rglob("*") if path.name.endswith(".partial")]


def test_a_style_s_prompts_say_whether_they_were_trained_on(style_report: ReportData, tmp_path: Path) -> None:
    render(style_report, tmp_path / "page")
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert text.count("<b>Unseen prompt:</b>") == text.count("<b>Seen prompt:</b>") == 2
    assert "Styles: 60 steps of 4 pictures" in text and "Tasks with a condition" not in text
    assert (tmp_path / "page" / "grids" / "style_ink.png").is_file()
