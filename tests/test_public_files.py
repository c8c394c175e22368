"""Files that a repository shows the public say what the code, the settings and the tests say."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from oft.storage import load_yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION: dict[str, Any] = load_yaml((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
WORKFLOW: dict[str, Any] = load_yaml((ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def ignored(path: str) -> bool:
    """Whether Docker leaves a path out of an image: the last pattern for it or a folder above it says."""
    lines = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    above = [path, *(parent.as_posix() for parent in Path(path).parents)]
    out = False
    for line in lines:
        pattern = line.removeprefix("!").removeprefix("/").removeprefix("**/")
        anywhere = "**/" in line
        if (
            line
            and not line.startswith("#")
            and any(
                fnmatch(Path(each).name if anywhere else each, pattern)
                and (anywhere or each.count("/") == pattern.count("/"))
                for each in above
            )
        ):
            out = not line.startswith("!")
    return out


def test_what_is_cited_is_this_version_under_its_licence() -> None:
    assert (CITATION["version"], CITATION["license"]) == (PROJECT["version"], PROJECT["license"])
    assert {"cff-version", "message", "title", "authors"} <= CITATION.keys()


def test_the_paper_that_is_cited_is_the_one_that_readme_names() -> None:
    [paper] = CITATION["references"]
    number = paper["url"].rpartition("/")[2]
    assert f"arXiv {number}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert paper["identifiers"][0]["value"] == f"arXiv:{number}"


def test_every_file_that_a_promise_rests_on_exists() -> None:
    named = re.findall(r"`((?:oft|flows|tests|requirements)/[\w/*.]+)`|\]\(([^)#]+)\)", SECURITY)
    paths = [first or second for first, second in named]
    assert len(paths) > 20
    assert not [path for path in paths if not list(ROOT.glob(path))]


def test_ci_runs_what_a_contributor_runs_and_the_library_on_every_python_it_is_for() -> None:
    jobs = WORKFLOW["jobs"]
    assert "bash .ci/run" in [step.get("run") for step in jobs["pipeline"]["steps"]]
    pythons = jobs["library"]["strategy"]["matrix"]["python"]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert pythons == [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}" in allowed]
    assert any("tests/library.py" in step.get("run", "") for step in jobs["library"]["steps"])


@pytest.mark.parametrize(
    "path",
    [
        ".dvc/config.local",
        ".git/config",
        ".dvc/tmp/x",
        ".venv/bin/python",
        "data/raw/photos/a.png",
        "oft/__pycache__/a.pyc",
    ],
)
def test_an_image_has_no_password_and_no_result(path: str) -> None:
    assert ignored(path)


@pytest.mark.parametrize(
    "path",
    [
        ".git/HEAD",
        ".dvc/config",
        "oft/cli.py",
        "data/models/miniature/unet/config.json",
        "requirements/dev.txt",
    ],
)
def test_an_image_has_the_clone(path: str) -> None:
    assert not ignored(path)


def test_an_image_leaves_out_what_a_commit_does() -> None:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    folders = [line.strip("/") for line in lines if line.startswith("/") and not line.endswith("*")]
    assert len(folders) > 15
    assert not [folder for folder in folders if not ignored(f"{folder}/file")]


def test_actions_are_pinned_by_commit() -> None:
    """A tag may be moved to other code; the version stands beside the commit for people."""
    text = (ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8")
    used = [line for line in text.splitlines() if "uses:" in line]
    assert used and all(
        re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line) for line in used
    )
