"""dvc.yaml, stages/ and params.yaml hold together."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

import grimp
import pytest
import yaml

from oft.datasets import READERS
from oft.params import Params
from tests.conftest import ROOT

VARIANTS = ("subject", "base", "transfer")
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage) for name, stage in PIPELINE["stages"].items()
}
SCRIPTS = {
    path.stem for path in (ROOT / "stages").glob("*.py")
} - {"__init__", "arguments", "entry", "paths", "ranks", "warm"}  # fmt: skip

# Reached by nearly every script; what they mean for a result shows in the modules that use them or in params.
PLUMBING = {
    "oft.errors",  # what faults are called
    "oft.models.loading",  # reads a network as it is, or says why it cannot be
    "oft.params",  # checks settings; their values stand in the params of a stage
    "oft.progress",  # the progress bar
    "oft.storage.files",  # writes files whole or not at all
    "oft.storage.publishing",  # the same bytes, to S3
    "oft.storage.remote",  # the same bytes, from S3
    "oft.types",  # records that modules hand each other
}


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
    sources = [dep for dep in deps if dep.startswith(("stages/", "oft/"))]
    assert f"stages/{script_of(STAGES[name])}.py" in sources
    assert all((ROOT / source).exists() for source in sources), sources


@cache
def import_graph() -> grimp.ImportGraph:
    """Every import inside oft and stages that can happen when a stage runs, those in functions too."""
    graph = grimp.build_graph("oft", "stages", exclude_type_checking_imports=True, cache_dir=None)
    for reader in READERS:  # imported by name, which no graph shows
        graph.add_import(importer="oft.datasets.registry", imported=f"oft.datasets.{reader}")
    return graph


def shapes_results(module: str) -> bool:
    """Return whether a module is one that deps must name: in oft, no plumbing, no package (it re-exports)."""
    is_package = (ROOT / module.replace(".", "/")).is_dir()
    return module.startswith("oft.") and module not in PLUMBING and not is_package


def imported_modules(script: str) -> list[str]:
    """Return the modules that a script imports, directly or through others."""
    return sorted(filter(shapes_results, import_graph().find_upstream_modules(f"stages.{script}")))


def listed_modules(stage: dict[str, Any]) -> list[str]:
    """Return the modules that a stage's deps name, as often as they do, with those of each folder."""
    paths = [ROOT / dep for dep in flat(stage["deps"]) if dep.startswith("oft/")]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    return sorted(filter(shapes_results, (name.removesuffix(".__init__") for name in names)))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_what_its_script_imports_and_on_nothing_else(name: str) -> None:
    """An edit of a module left out is never noticed; an edit of one too many trains again for nothing."""
    assert listed_modules(STAGES[name]) == imported_modules(script_of(STAGES[name]))


def test_nothing_but_readers_is_imported_by_name() -> None:
    """Such imports are hidden from the graph that holds the deps."""
    files = (ROOT / "oft").rglob("*.py")
    found = [
        file.relative_to(ROOT).as_posix() for file in files if "import_module" in file.read_text("utf-8")
    ]
    assert found == ["oft/datasets/registry.py"]


def test_every_setting_belongs_to_a_stage(params: Params) -> None:
    """A setting that no stage depends on could change without a stage being run again."""
    used = {head for stage in STAGES.values() for head in settings_of(stage)}
    matrices = re.findall(r"\$\{(\w+)\}", yaml.safe_dump(PIPELINE["stages"]))
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
