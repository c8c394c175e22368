from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.dreambooth import read_dreambooth, read_prompts, read_subject, read_subjects
from oft.errors import DataError
from oft.types import Counts


def test_keys_are_subject_and_number_and_there_is_nothing_to_validate(dreambooth_root: Path) -> None:
    counts = Counts()
    keys = [example.key for example in read_dreambooth(dreambooth_root, "train", counts)]
    assert keys == ["dog-00", "dog-03", "dog2-00", "rc_car-01"] and counts.seen == 4
    assert not list(read_dreambooth(dreambooth_root, "val", Counts()))
    inner = list(read_dreambooth(dreambooth_root / "dataset", "train", Counts()))
    assert inner == list(read_dreambooth(dreambooth_root, "train", Counts()))


def test_one_subject_is_read_with_the_same_examples(dreambooth_root: Path) -> None:
    everything = list(read_dreambooth(dreambooth_root, "train", Counts()))
    assert list(read_subject(dreambooth_root, "dog", Counts())) == everything[:2]
    with pytest.raises(DataError, match=r"no subject 'doll'.*dog, dog2, rc_car"):
        next(read_subject(dreambooth_root, "doll", Counts()))


def test_subjects_have_classes(dreambooth_root: Path) -> None:
    assert read_subjects(dreambooth_root) == {"dog": "dog", "dog2": "dog", "rc_car": "toy"}


def test_prompts_are_templates_of_their_own_list(dreambooth_root: Path) -> None:
    assert read_prompts(dreambooth_root, live=False) == ["a {0} {1} in the jungle", "a red {0} {1}"]
    live = read_prompts(dreambooth_root, live=True)
    assert len(live) == 3
    assert live[1].format("sks", "dog") == "a sks dog with its owner's hat"


@pytest.mark.parametrize(
    "literal", ["'a {0.__class__} {1}'", "'a {2}'", "'a {0!r}'", "'a {0:>99999999}'", "'a {0'", r"'\x'"]
)
def test_a_template_that_does_more_than_name_its_fields_is_refused(
    dreambooth_root: Path, literal: str
) -> None:
    path = dreambooth_root / "dataset" / "prompts_and_classes.txt"
    path.write_text(f"Object Prompts\n{literal}.format(unique_token, class_token),\n")
    with pytest.raises(DataError, match=r"prompts_and_classes.txt: .*mend the line"):
        read_prompts(dreambooth_root, live=False)


def test_code_in_the_prompt_file_is_not_run(dreambooth_root: Path) -> None:
    path = dreambooth_root / "dataset" / "prompts_and_classes.txt"
    path.write_text(
        "Object Prompts\n__import__('os').abort()\n'a {0} {1}'.format(unique_token, class_token),\n"
    )
    assert read_prompts(dreambooth_root, live=False) == ["a {0} {1}"]


def test_a_file_without_lists_is_refused(dreambooth_root: Path) -> None:
    path = dreambooth_root / "dataset" / "prompts_and_classes.txt"
    path.write_text("Object Prompts\n")
    for call in (
        lambda: read_subjects(dreambooth_root),
        lambda: read_prompts(dreambooth_root, live=False),
        lambda: read_prompts(dreambooth_root, live=True),
    ):
        with pytest.raises(DataError, match="official file"):
            call()
    path.unlink()
    with pytest.raises(DataError, match="there is no file"):
        read_subjects(dreambooth_root)


def test_pictures_of_a_subject_are_found_whatever_their_suffix(dreambooth_root: Path) -> None:
    folder = dreambooth_root / "dataset" / "rc_car"
    data = (folder / "01.jpg").read_bytes()
    for name in ("02.jfif", "03.JPE", "04.heic"):
        (folder / name).write_bytes(data)
    (folder / "notes.txt").write_text("no picture")
    counts = Counts()
    names = [example.image.name for example in read_subject(dreambooth_root, "rc_car", counts)]
    assert names == ["01.jpg", "02.jfif", "03.JPE", "04.heic"] and counts.seen == 4
