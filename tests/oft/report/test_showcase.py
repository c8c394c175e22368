"""What the README shows: pictures of the run, and a table that is made of the figures beside it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from oft.errors import DataError
from oft.report.grids import MIN_SIDE_PX
from oft.report.headlines import headline_table
from oft.report.results import ReportData
from oft.report.showcase import BEGIN, END, FIGURES, FOLDER, PICTURE, hero, put_between
from oft.storage import read_json
from tests.conftest import ROOT


def test_the_readme_s_table_is_of_the_figures_beside_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert put_between(readme, headline_table(read_json(ROOT / FIGURES), markdown=True)) == readme
    with Image.open(ROOT / PICTURE) as image:
        assert min(image.size) > 2 * MIN_SIDE_PX
    assert sum(path.stat().st_size for path in (ROOT / FOLDER).iterdir()) < 500_000


def test_the_table_takes_the_place_of_the_old_one() -> None:
    readme = f"# Title\n\n{BEGIN}\nold\n{END}\n\nmore\n"
    assert put_between(readme, "new") == f"# Title\n\n{BEGIN}\nnew\n{END}\n\nmore\n"
    for without in (BEGIN, END):
        with pytest.raises(DataError, match=r"README\.md"):
            put_between(readme.replace(without, ""), "new")


def test_the_picture_has_a_row_of_each_task_and_the_columns_asked_for(report: ReportData) -> None:
    whole = hero(report.tasks, ["none", "oft", "unheard_of"])
    one = hero(report.tasks[:1], ["none", "oft"])
    assert whole.width == one.width
    assert whole.height > len(report.tasks) * MIN_SIDE_PX
    assert np.asarray(one).std() > 1
    with pytest.raises(DataError, match="make repro"):
        hero([], ["none"])
