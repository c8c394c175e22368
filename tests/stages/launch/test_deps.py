"""Sources of stages: folders in place of files, registries, and nothing but the lists is rewritten."""

from __future__ import annotations

from stages.launch.deps import fold
from stages.launch.sources import is_plumbing

EVERY = ["a/b/one.py", "a/b/two.py", "a/c/one.py", "a/c/two.py", "a/x.py", "a/y.py", "top/a/one.py"]


def test_a_folder_stands_for_its_files_where_half_of_them_are_used() -> None:
    assert fold(["a/b/one.py"], EVERY) == ["a/b"]
    assert fold(["a/b/one.py"], [*EVERY, "a/b/three.py"]) == ["a/b/one.py"]


def test_a_folder_is_named_only_if_each_folder_below_is_used_as_much() -> None:
    assert fold(["a/b/one.py", "a/x.py", "a/y.py"], EVERY) == ["a/b", "a/x.py", "a/y.py"]
    assert fold(["a/b/one.py", "a/c/two.py", "a/x.py"], EVERY) == ["a"]


def test_a_folder_without_files_of_its_own_is_not_named() -> None:
    assert fold(["top/a/one.py"], EVERY) == ["top/a"]


def test_a_package_of_plumbing_stands_for_what_is_in_it() -> None:
    assert is_plumbing("oft.storage") and is_plumbing("oft.storage.files") and not is_plumbing("oft.storages")
