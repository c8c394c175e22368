from __future__ import annotations

from inspect import Parameter, getsourcefile, signature, unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oft.conditions import CONDITIONS, Condition, extract_condition
from oft.conditions.ade20k_classes import NUM_CLASSES
from oft.conditions.annotators import load_annotator
from oft.conditions.canny import extract_canny
from oft.conditions.densepose import NUM_PARTS
from oft.conditions.hed import load_edges
from oft.datasets import READERS
from oft.datasets.annotations import ADE20K_LABELS, DENSEPOSE_PARTS
from oft.errors import DataError
from oft.params import Params
from tests.conftest import ROOT

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


WITHOUT_NETWORK = sorted(name for name, condition in CONDITIONS.items() if condition.extract is not None)


def random_annotation(condition: Condition) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    annotation = condition.annotation or ADE20K_LABELS
    match annotation.kind:
        case "landmarks":
            return rng.uniform(0, 16, (68, 2))
        case "picture":
            return rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
        case _:
            return rng.integers(0, annotation.num_labels or 2, (16, 24), dtype=np.uint8)


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_a_condition_is_a_picture_of_the_same_size_and_a_function_of_its_source(name: str) -> None:
    condition = CONDITIONS[name]
    annotation = random_annotation(condition)
    made = extract_condition(condition, IMAGE, annotation)
    assert made.shape == IMAGE.shape and made.dtype == np.uint8
    other_image = extract_condition(condition, 255 - IMAGE, annotation)
    assert (condition.annotation is None) or (other_image == made).all()
    np.testing.assert_array_equal(extract_condition(condition, IMAGE, annotation), made)


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_an_entry_is_consistent(name: str) -> None:
    condition = CONDITIONS[name]
    assert condition.name == name
    annotation = condition.annotation
    assert condition.keeps_labels == (annotation is not None and annotation.kind == "labels")
    assert condition.keeps_labels == (annotation is not None and annotation.num_labels is not None)
    # A network makes it from the picture, or finds an annotation to make it from, or there is none.
    assert condition.load is not None or condition.extract is not None
    assert condition.annotation is None or condition.extract is not None
    assert condition.needs_network(annotated=False) == (condition.load is not None)
    assert condition.needs_network(annotated=True) == (condition.extract is None)


def test_params_know_every_condition(params: Params) -> None:
    assert set(CONDITIONS) == set(type(params.conditions).model_fields)


def test_ids_are_those_that_the_extractors_colour() -> None:
    assert ADE20K_LABELS.num_labels == NUM_CLASSES + 1
    assert DENSEPOSE_PARTS.num_labels == NUM_PARTS + 1


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_an_annotation_that_a_condition_needs_is_brought_by_a_reader(name: str) -> None:
    condition = CONDITIONS[name]
    brought = any(reader.gives(condition.annotation) for reader in READERS.values())
    assert brought == (condition.annotation is not None)


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_the_page_shows_what_a_condition_declares(name: str) -> None:
    page = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")
    assert f"\n| `{name}` | {CONDITIONS[name].shows} |" in page


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_settings_in_params_are_the_extractors_own(name: str, params: Params) -> None:
    """Defaults in code are those of params.yaml, and no setting there is without use."""
    settings = getattr(params.conditions, name).model_dump()
    condition = CONDITIONS[name]
    if condition.load is None:
        assert condition.extract is not None
        optional = {
            key: parameter.default
            for key, parameter in signature(condition.extract).parameters.items()
            if parameter.default is not Parameter.empty
        }
        assert settings == optional
        return
    # What a network's settings are shows in its own file and in those that load networks.
    files = {getsourcefile(unwrap(function)) for function in (condition.load, load_annotator, load_edges)}
    used = "".join(Path(file).read_text(encoding="utf-8") for file in files if file is not None)
    assert all(f'settings["{key}"]' in used for key in settings)


def test_settings_reach_the_extractor() -> None:
    made = extract_condition(CONDITIONS["canny"], IMAGE, None, low_threshold=10, high_threshold=20)
    np.testing.assert_array_equal(made, extract_canny(IMAGE, 10, 20))


def test_a_condition_made_from_an_annotation_needs_one() -> None:
    with pytest.raises(DataError, match=r"'segmentation' is made from an annotation"):
        extract_condition(CONDITIONS["segmentation"], IMAGE, None)
