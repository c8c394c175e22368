"""pyproject.toml, the lock files and the code agree with each other."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import oft

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("experiments", "flows", "miniature", "oft", "stages")
LOCKS = ("demo", "dev", "ray", "runtime", "uv")
NOT_IMPORTED = {"scikit-learn", "torchvision"}
"""Asked for, with the reason beside, yet imported by nothing here."""


def read_project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def read_extras() -> set[str]:
    """Names of the packages that an extra brings; nothing imports them unless a setting asks for them."""
    extras = read_project()["optional-dependencies"]
    lines = [line for name, lines in extras.items() if name != "dev" for line in lines]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def read_requirements(extra: str | None = None) -> list[Requirement]:
    """What pyproject.toml asks for: the run-time packages, or those of an extra."""
    project = read_project()
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(line) for line in lines]


def read_lock(name: str) -> dict[str, str]:
    """Package names and versions of requirements/``name``.txt."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {
        canonicalize_name(package): version
        for package, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE)
    }


def imported_packages(folder: str, *, for_types: bool = False) -> dict[str, str]:
    """Top-level packages that the files under ``folder`` import, each with the first file that does.

    Args:
        for_types: those imported under ``if TYPE_CHECKING`` instead of those imported in a run.
    """
    found: dict[str, str] = {}
    for file in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(file.read_text())
        guards = [each for each in ast.walk(tree) if isinstance(each, ast.If) and is_type_checking(each.test)]
        guarded = {node for guard in guards for node in ast.walk(guard)}
        for node in ast.walk(tree):
            if (node in guarded) != for_types:
                continue
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            else:
                continue
            for name in names:
                found.setdefault(name.partition(".")[0], str(file.relative_to(ROOT)))
    return found


def is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


@pytest.mark.parametrize(
    ("lock", "extra"),
    [
        ("runtime", None),
        ("demo", None),
        ("demo", "demo"),
        ("dev", None),
        ("dev", "dev"),
        ("ray", None),
        ("ray", "ray"),
    ],
)
def test_a_lock_holds_a_fitting_version_of_everything_asked_for(lock: str, extra: str | None) -> None:
    locked = read_lock(lock)
    unfit = [
        f"{wanted} (locked: {locked.get(canonicalize_name(wanted.name))})"
        for wanted in read_requirements(extra)
        if not wanted.specifier.contains(locked.get(canonicalize_name(wanted.name), "0"), prereleases=True)
    ]
    assert not unfit, f"run `make lock`: requirements/{lock}.txt does not fit {unfit}"


def test_the_version_in_files_is_the_packages() -> None:
    assert oft.__version__ == read_project()["version"]


def test_the_development_lock_holds_the_run_time_lock_unchanged() -> None:
    assert read_lock("runtime").items() <= read_lock("dev").items()


def test_a_cluster_has_what_the_tests_have_and_all_of_a_run() -> None:
    assert read_lock("runtime").items() <= read_lock("ray").items() <= read_lock("dev").items()


def test_the_demo_shares_the_environment_of_a_run_and_of_the_tests() -> None:
    demo, dev = read_lock("demo"), read_lock("dev")
    assert read_lock("runtime").items() <= demo.items()
    assert all(dev[name] == version for name, version in demo.items() if name in dev)


def test_what_only_tests_need_stays_out_of_a_run() -> None:
    assert not {"pytest", "mypy", "ray", "moto", "gradio"} & read_lock("runtime").keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_no_host_or_folder(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(read_lock(lock))
    assert all("--hash=sha256:" in entry for entry in entries)
    words = {word for line in text.splitlines() for word in line.split()}
    assert not [word for word in words if re.match(r"/|https?:|file:|--(extra-)?index|--find-links", word)]


@pytest.mark.parametrize("for_types", [False, True], ids=["in a run", "for types"])
@pytest.mark.parametrize("folder", PACKAGES)
def test_every_imported_package_is_asked_for(folder: str, for_types: bool) -> None:
    wanted = [*read_requirements(), *(read_requirements("dev") if for_types else ())]
    asked = {canonicalize_name(each.name) for each in wanted} | read_extras()
    providers = packages_distributions()
    missing = {
        package: file
        for package, file in imported_packages(folder, for_types=for_types).items()
        if package not in sys.stdlib_module_names
        and package not in PACKAGES
        and not asked & {canonicalize_name(name) for name in providers.get(package, (package,))}
    }
    assert not missing, f"imported, yet not among the dependencies in pyproject.toml: {missing}"


def test_what_is_asked_for_is_imported() -> None:
    providers = packages_distributions()
    imported = {
        canonicalize_name(name)
        for folder in PACKAGES
        for package in imported_packages(folder)
        for name in providers.get(package, (package,))
    }
    assert {canonicalize_name(each.name) for each in read_requirements()} - imported == NOT_IMPORTED
