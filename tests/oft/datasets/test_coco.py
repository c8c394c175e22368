from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.coco import LICENCE, read_coco
from oft.errors import DataError
from oft.types import Counts


def test_listed_pictures_come_with_all_captions_in_the_order_of_their_ids(coco_root: Path) -> None:
    counts = Counts()
    tree, bare = read_coco(coco_root, "val", counts)
    assert (tree.key, tree.captions) == ("000000000009", ("a tree", "A tree by the road."))
    assert (bare.key, bare.captions, bare.annotation) == ("000000000025", (), None)
    assert (tree.licence, bare.licence) == (LICENCE, "Attribution License")
    assert counts.seen == 3 and counts.offenders == {"missing": ["000000000030.jpg"]}


def test_a_missing_caption_file_is_named(coco_root: Path) -> None:
    (coco_root / "annotations" / "captions_val2017.json").unlink()
    with pytest.raises(DataError, match=r"captions_val2017\.json; expected COCO's layout"):
        next(read_coco(coco_root, "val", Counts()))


@pytest.mark.parametrize(
    "content", ["{", '{"images": []}', "[]", '{"images": [{"id": 1}], "annotations": []}']
)
def test_another_kind_of_caption_file_is_refused(coco_root: Path, content: str) -> None:
    (coco_root / "annotations" / "captions_val2017.json").write_text(content)
    with pytest.raises(DataError, match=r"captions_val2017\.json"):
        next(read_coco(coco_root, "val", Counts()))
