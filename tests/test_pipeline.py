"""dvc.yaml, stages/ and params.yaml hold together."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

import grimp
import pytest

from oft.params import Params
from oft.storage import dump_yaml, load_yaml
from stages.launch.deps import write_sources
from stages.launch.sources import PACKAGES, PLUMBING, is_plumbing
from tests.conftest import ROOT

VARIANTS = ("subject", "style", "base", "transfer")
PIPELINE: dict[str, Any] = load_yaml((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage) for name, stage in PIPELINE["stages"].items()
}
SCRIPTS = {
    path.stem for path in (ROOT / "stages").glob("*.py")
} - {"__init__", "arguments", "entry", "paths", "ranks", "warm"}  # fmt: skip


def script_of(stage: dict[str, Any]) -> str:
    match = re.match(r"python -m stages\.(\w+)", stage["cmd"])
    assert match, stage["cmd"]
    return match[1]


def flat(entries: list[Any]) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def settings_of(stage: dict[str, Any]) -> set[str]:
    """Return the sections of params.yaml a stage names; the report, which names the whole file, has none."""
    return {re.split(r"[.$]", entry)[0] for entry in flat(stage.get("params", []))} - {"params"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_named_after_its_script(name: str) -> None:
    script = script_of(STAGES[name])
    assert script in SCRIPTS
    assert name == script or name.removeprefix(f"{script}_") in VARIANTS


def test_every_script_is_a_stage() -> None:
    assert {script_of(stage) for stage in STAGES.values()} == SCRIPTS


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does(name: str) -> None:
    assert STAGES[name]["desc"].endswith(".")


@pytest.mark.parametrize("name", STAGES)
def test_params_of_a_stage_exist(name: str, params: Params) -> None:
    for head in settings_of(STAGES[name]):
        assert head in type(params).model_fields, head


@pytest.mark.parametrize("name", STAGES)
def test_source_files_of_a_stage_exist_and_hold_its_script(name: str) -> None:
    deps = flat(STAGES[name]["deps"])
    sources = [dep for dep in deps if dep.startswith(("stages/", *PACKAGES))]
    assert f"stages/{script_of(STAGES[name])}.py" in sources
    assert all((ROOT / source).exists() for source in sources), sources


@cache
def import_graph() -> grimp.ImportGraph:
    """Every import outside of plumbing that can happen when a stage runs, those in functions too."""
    graph = grimp.build_graph(*PACKAGES, "stages", exclude_type_checking_imports=True, cache_dir=None)
    for registry in registries():  # imports by name, which no graph shows
        folder = registry.rpartition(".")[0]
        for module in graph.find_descendants(folder) - {registry}:
            graph.add_import(importer=registry.removesuffix(".__init__"), imported=module)
    for module in list(graph.modules):
        # How a stage starts is no part of what it gives.
        if is_plumbing(module) or f"{module}.".startswith("stages.launch."):
            graph.remove_module(module)
    return graph


def registries() -> list[str]:
    """Return the modules that import others by name."""
    by_name = re.compile(r"import_module|pkgutil|__import__")
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    found = [file.relative_to(ROOT) for file in files if by_name.search(file.read_text("utf-8"))]
    return [".".join(file.with_suffix("").parts) for file in found]


def shapes_results(module: str) -> bool:
    """Return whether a module is one that deps must name: no plumbing, no package (it re-exports)."""
    is_package = (ROOT / module.replace(".", "/")).is_dir()
    return module.startswith(PACKAGES) and not is_plumbing(module) and not is_package


def imported_modules(script: str) -> set[str]:
    """Return the modules that a script imports, directly or through others."""
    return set(filter(shapes_results, import_graph().find_upstream_modules(f"stages.{script}")))


def sources_of(stage: dict[str, Any]) -> list[str]:
    return [dep for dep in flat(stage["deps"]) if dep.startswith(PACKAGES)]


def modules_at(source: str) -> set[str]:
    """Return the modules that a dep names: that of a file, or those in a folder."""
    path = ROOT / source
    files = path.rglob("*.py") if path.is_dir() else [path]
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    return set(filter(shapes_results, (name.removesuffix(".__init__") for name in names)))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_what_its_script_imports(name: str) -> None:
    """An edit of a module left out is never noticed."""
    listed = [module for source in sources_of(STAGES[name]) for module in modules_at(source)]
    assert imported_modules(script_of(STAGES[name])) <= set(listed)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_nothing_else_but_the_rest_of_folders_it_uses_half_of(name: str) -> None:
    """An edit of a module too many trains again for nothing."""
    used = imported_modules(script_of(STAGES[name]))
    for source in sources_of(STAGES[name]):
        of_folder: dict[str, set[str]] = {}
        for module in modules_at(source):
            of_folder.setdefault(module.rpartition(".")[0], set()).add(module)
        assert of_folder and all(2 * len(used & each) >= len(each) for each in of_folder.values()), source


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_templates_beside_its_modules(name: str) -> None:
    templates = [file for package in PACKAGES for file in (ROOT / package).rglob("*.html")]
    folders = {file.parent.relative_to(ROOT).as_posix() for file in templates}
    modules = imported_modules(script_of(STAGES[name]))
    used = {module.rpartition(".")[0].replace(".", "/") for module in modules}
    assert folders & used <= set(sources_of(STAGES[name]))


def test_the_source_lists_are_what_make_deps_writes() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert write_sources(text, ROOT) == text


def test_make_deps_replaces_the_sources_of_each_list_and_nothing_else() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    lists = re.compile(r"(# sources:\n +)[^]]*")
    assert len(lists.findall(text)) == len(re.findall(r"^ +deps:(?! \*)", text, re.MULTILINE))
    stale = lists.sub(r"\g<1>oft/gone.py", text)
    assert stale != text and write_sources(stale, ROOT) == text


def test_what_is_imported_by_name_is_so_by_the_registry_of_its_folder() -> None:
    """Such imports are hidden from the graph that holds the deps; it takes the folder as used whole."""
    assert "oft.datasets.registry" in registries()
    assert {name.rpartition(".")[2] for name in registries()} <= {"registry", "__init__"}


def test_what_is_plumbing_exists() -> None:
    paths = [ROOT / module.replace(".", "/") for module in PLUMBING]
    assert all(path.is_dir() or path.with_suffix(".py").is_file() for path in paths)


def test_every_setting_belongs_to_a_stage(params: Params) -> None:
    """A setting that no stage depends on could change without a stage being run again."""
    used = {head for stage in STAGES.values() for head in settings_of(stage)}
    matrices = re.findall(r"\$\{(\w+)\}", dump_yaml(PIPELINE["stages"]))
    # The report names the whole file, its own section with it; the gate judges results and makes none.
    assert set(type(params).model_fields) <= used | set(matrices) | {"report", "gate"}


def test_every_out_is_made_by_one_stage_and_ignored_by_git() -> None:
    outs = [
        out for stage in STAGES.values() for out in flat(stage.get("outs", []) + stage.get("metrics", []))
    ]
    assert len([out for out in outs if "$" not in out]) == len({out for out in outs if "$" not in out})
    tops = {"/runs/", "/report/", "/data/*", "/data/models/*"}
    assert tops <= set((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())
    assert all(out.startswith(("runs/", "report", "data/")) for out in outs)


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_help_teaches(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"stages.{script}")
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert module.__doc__ and module.__doc__.strip().splitlines()[0] in shown and "params.yaml" in shown
