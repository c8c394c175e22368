"""pyproject.toml, the lock files and the code agree with each other."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import oft
from oft.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("experiments", "flows", "miniature", "oft", "stages")
LOCKS = ("demo", "dev", "docs", "evidence", "ray", "runtime", "uv")
PIPELINE = "flows"
"""The extra that brings everything a run needs: runtime.txt is its lock."""
NOT_IMPORTED = {"torchvision"}
"""Asked for, with the reason beside, yet imported by nothing here."""


def read_project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def read_extras() -> set[str]:
    """Names of the packages that an extra brings; nothing imports them unless a setting asks for them."""
    needed = {"dev", "docs", PIPELINE, "pipeline", "conditions"}
    extras = read_project()["optional-dependencies"].keys() - needed
    return {canonicalize_name(each.name) for extra in extras for each in read_requirements(extra)}


def read_requirements(extra: str | None = None) -> list[Requirement]:
    """What pyproject.toml asks for: the library's packages, or those of an extra and of extras it names."""
    project = read_project()
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    asked = [Requirement(line) for line in lines]
    own = [each for each in asked if each.name == project["name"]]
    named = [wanted for each in own for inner in sorted(each.extras) for wanted in read_requirements(inner)]
    return [each for each in asked if each not in own] + named


def read_run() -> list[Requirement]:
    """What a run of the pipeline asks for: the library's packages and those of the extras."""
    return [*read_requirements(), *read_requirements(PIPELINE)]


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
        ("runtime", PIPELINE),
        ("demo", None),
        ("demo", PIPELINE),
        ("demo", "demo"),
        ("dev", None),
        ("dev", PIPELINE),
        ("dev", "dev"),
        ("ray", None),
        ("ray", PIPELINE),
        ("ray", "ray"),
        ("evidence", None),
        ("evidence", PIPELINE),
        ("evidence", "evidence"),
        ("docs", None),
        ("docs", "docs"),
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


def test_what_only_tests_and_pages_need_stays_out_of_a_run() -> None:
    assert not {"pytest", "mypy", "ray", "moto", "mkdocs", "gradio"} & read_lock("runtime").keys()


def test_the_demo_shares_the_environment_of_a_run_and_of_the_tests() -> None:
    demo, dev = read_lock("demo"), read_lock("dev")
    assert read_lock("runtime").items() <= demo.items()
    assert all(dev[name] == version for name, version in demo.items() if name in dev)


def test_the_pages_are_built_with_the_versions_of_the_tests() -> None:
    pages, tests = read_lock("docs"), read_lock("dev")
    assert {name: pages[name] for name in pages.keys() & tests.keys()}.items() <= tests.items()


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
    wanted = [*read_run(), *(read_requirements("dev") if for_types else ())]
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
    assert {canonicalize_name(each.name) for each in read_run()} - imported == NOT_IMPORTED


# Hides packages as if they were not installed. The interpreter's own finder is the one that would find them.
HIDE = """
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)

sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
"""


def brought_by(requirements: Iterable[Requirement]) -> set[str]:
    """Return the installed distributions that an installation of ``requirements`` alone would have."""
    found: set[str] = set()
    waiting = [(each, extra) for each in requirements for extra in ("", *sorted(each.extras))]
    seen = set()
    while waiting:
        wanted, extra = waiting.pop()
        key = (canonicalize_name(wanted.name), extra)
        if key in seen or (wanted.marker and not wanted.marker.evaluate({"extra": extra})):
            continue
        seen.add(key)
        try:
            lines = requires(wanted.name) or []
        except PackageNotFoundError:  # for another platform, say
            continue
        found.add(key[0])
        for line in lines:
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                inner.marker = None
                waiting += [(inner, each) for each in ("", *sorted(inner.extras))]
    return found


def run_with(requirements: Iterable[Requirement], code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that has what ``requirements`` bring, and this repository."""
    there = brought_by(requirements)
    hidden = {
        package
        for package, providers in packages_distributions().items()
        if package not in PACKAGES and not there & {canonicalize_name(name) for name in providers}
    }
    assert {"diffusers", "typer", "yaml", "dvc"} & hidden, "nothing is hidden, so nothing would be shown"
    command = [sys.executable, "-c", f"HIDDEN = {sorted(hidden)!r}\n{HIDE}\n{code}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_library_runs_with_its_own_dependencies_alone() -> None:
    done = run_with(
        read_requirements(), 'import runpy; runpy.run_path("tests/library.py", run_name="__main__")'
    )
    assert done.returncode == 0, done.stderr
    assert '"oft_import_seconds"' in done.stdout


def test_the_command_says_what_the_library_alone_lacks() -> None:
    done = run_with(read_requirements(), "from oft.__main__ import main; main()")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"oft {oft.__version__} is installed as a library, and its commands also need typer; install the "
        "extra `pipeline`: pip install 'oft-pipeline[pipeline]'"
    ]


def test_conditions_need_their_extra_alone() -> None:
    code = (
        "import numpy as np\n"
        "from oft.conditions.registry import CONDITIONS\n"
        "from oft.conditions.canny import extract_canny\n"
        "square = np.zeros((32, 32, 3), np.uint8); square[8:24, 8:24] = 255\n"
        "print(len(CONDITIONS), extract_canny(square, 100, 200).any())"
    )
    done = run_with([*read_requirements(), *read_requirements("conditions")], code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "True"


def test_the_command_prints_its_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["oft", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"oft {oft.__version__}\n"


def test_a_missing_module_of_our_own_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oft.cli", None)
    with pytest.raises(ModuleNotFoundError):
        main()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built offline from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in (*PACKAGES, "tests", "benchmarks", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected
    assert "oft/py.typed" in expected


def test_the_wheel_asks_for_the_librarys_packages_and_runs_where_they_do(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    lines = wheel.read(name).decode().split("\n\n")[0].splitlines()
    asked = [Requirement(line.removeprefix("Requires-Dist: ")) for line in lines if "Requires-Dist" in line]
    assert {each.name for each in asked if each.marker is None} == {each.name for each in read_requirements()}
    (pythons,) = [line.removeprefix("Requires-Python: ") for line in lines if "Requires-Python" in line]
    fitting = [minor for minor in range(9, 16) if SpecifierSet(pythons).contains(f"3.{minor}")]
    assert fitting == [11, 12, 13]
