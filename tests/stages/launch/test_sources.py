"""A checkpoint's key follows the files that its stage imports, and no others."""

from __future__ import annotations

import shutil
import textwrap
import time
from pathlib import Path

import pytest

from oft.training.checkpoint import run_key
from stages.launch.sources import PACKAGES, source_closure
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's sources, free to edit."""
    folder = tmp_path_factory.mktemp("tree")
    for package in (*PACKAGES, "stages"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def key(tree: Path, script: str = "train") -> str:
    return run_key({}, [], source_closure(tree / "stages" / f"{script}.py", tree))


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("stages/train.py", True),
        ("oft/training/loop.py", True),
        ("oft/adapters/oft/rotation.py", True),
        ("oft/models/base.py", True),
        ("oft/report/template.html", False),
        ("oft/report/page.py", False),
        ("oft/progress.py", False),
        ("oft/evaluation/canny.py", False),
        ("stages/evaluate.py", False),
        ("stages/launch/paths.py", False),
    ],
)
def test_a_training_starts_anew_where_its_own_code_changed(tree: Path, edited: str, changes: bool) -> None:
    before = key(tree)
    path = tree / edited
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\n# edited\n", encoding="utf-8")
    changed = key(tree) != before
    path.write_text(text, encoding="utf-8")
    assert changed == changes
    assert key(tree) == before


def write(root: Path, name: str, text: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def test_every_way_of_importing_counts_but_that_for_type_checkers(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "stages/job.py",
        """
        from typing import TYPE_CHECKING
        import numpy as np
        from oft import plain
        if TYPE_CHECKING:
            from oft.for_checkers import Name
        else:
            import oft.otherwise

        def main():
            from oft.package import thing
            try:
                import oft.inside
            except ImportError:
                from oft.handler import other
            match 1:
                case 1:
                    import oft.case
        """,
    )
    write(tmp_path, "oft/plain.py", "from oft.errors import UserError\nimport oft.through\n")
    write(tmp_path, "oft/through.py", "import oft.plain\n")
    write(tmp_path, "oft/package/__init__.py", "from oft.package.module import thing\n")
    write(tmp_path, "oft/errors.py", "import oft.unused\n")
    for name in ("for_checkers", "otherwise", "package/module", "inside", "handler", "case", "unused"):
        write(tmp_path, f"oft/{name}.py")
    found = [path.relative_to(tmp_path).as_posix() for path in source_closure(script, tmp_path)]
    assert found == [
        "oft/case.py",
        "oft/handler.py",
        "oft/inside.py",
        "oft/otherwise.py",
        "oft/package/__init__.py",
        "oft/package/module.py",
        "oft/plain.py",
        "oft/through.py",
        "stages/job.py",
    ]


def test_a_registry_that_imports_by_name_has_its_folder(tmp_path: Path) -> None:
    script = write(tmp_path, "stages/job.py", "from oft.kinds.registry import find\n")
    write(tmp_path, "oft/kinds/registry.py", "from importlib import import_module\nimport_module(name)\n")
    write(tmp_path, "oft/kinds/one.py", "import oft.helper\n")
    write(tmp_path, "oft/kinds/two/__init__.py")
    write(tmp_path, "oft/helper.py")
    found = [path.relative_to(tmp_path / "oft").as_posix() for path in source_closure(script, tmp_path)[:-1]]
    assert found == ["helper.py", "kinds/one.py", "kinds/registry.py", "kinds/two/__init__.py"]


def test_finding_them_takes_no_time_to_speak_of() -> None:
    before = time.process_time()
    assert len(source_closure(ROOT / "stages" / "train.py")) > 20
    assert time.process_time() - before < 1  # about 0.13 on an idle machine
