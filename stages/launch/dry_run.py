"""What a stage would do (``--dry-run``): its item of dvc.yaml, with settings and data as they are now.

Every stage reaches this module, so of oft it imports only what no result depends on: else all would seem to
depend on more.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from oft.errors import ParamsError
from oft.params import load_params
from oft.settings.training import SHARED_SECTION
from oft.storage import dump_yaml, load_yaml
from stages.launch.sources import PACKAGES

GRAPH_FILE = Path("dvc.yaml")
SOURCES = ("stages", *PACKAGES)

Values = Mapping[str, Any]


def describe_stage(module: str, options: Values) -> str:
    """Return, as YAML, what ``python -m module`` with these options would do.

    Raises:
        ParamsError: params.yaml breaks a rule, or dvc.yaml has no such item.
    """
    settings = load_params().model_dump(mode="json")
    stages = load_yaml(GRAPH_FILE.read_text(encoding="utf-8"))["stages"]
    wanted = {name: str(value) for name, value in options.items() if value is not None}
    found = {name: item for name, item in graph_items(stages, settings) if item["module"] == module}
    for name, item in found.items():
        if item["options"] == wanted:
            return dump_yaml(describe_item(name, item, settings), width=100)
    given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in wanted.items())
    raise ParamsError(f"{module} {given}: {GRAPH_FILE} has no such item; it has {', '.join(found) or 'none'}")


def graph_items(stages: Values, settings: Values) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and definition of every item of the stages of a dvc.yaml, its variables filled in.

    A definition has ``module`` and ``options`` too, those of its command.
    """
    for name, stage in stages.items():
        for key, variables in stage_items(stage, settings):
            item = fill(stage.get("do", stage), {**settings, **variables})
            _, _, module, *arguments = shlex.split(item["cmd"])
            names = (argument.removeprefix("--").replace("-", "_") for argument in arguments[::2])
            options = dict(zip(names, arguments[1::2], strict=True))
            yield f"{name}@{key}" if key else name, {**item, "module": module, "options": options}


def stage_items(stage: Values, settings: Values) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and variables of each item of one stage, as DVC's foreach and matrix make them."""
    if "foreach" in stage:
        for key, value in fill(stage["foreach"], settings).items():
            yield key, {"key": key, "item": value}
    elif "matrix" in stage:
        names = list(stage["matrix"])
        for values in product(*(fill(stage["matrix"][name], settings) for name in names)):
            yield "-".join(map(str, values)), {"item": dict(zip(names, values, strict=True))}
    else:
        yield "", {}


def fill(template: Any, variables: Values) -> Any:
    """Return ``template`` with each ``${a.b}`` in it replaced; one that is nothing else becomes its value."""
    if isinstance(template, dict):
        return {fill(key, variables): fill(value, variables) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(part, variables) for part in template]
    if not isinstance(template, str):
        return template
    if whole := re.fullmatch(r"\$\{([^}]+)\}", template):
        return look_up(whole[1], variables)
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(look_up(match[1], variables)), template)


def look_up(path: str, variables: Values) -> Any:
    """Return the value at a dotted path."""
    found: Any = variables
    for name in path.split("."):
        found = found[name]
    return found


def describe_item(name: str, item: Values, settings: Values) -> dict[str, Any]:
    """Return what an item would compute on, from which settings and data, and what it would write."""
    takes = item.get("meta", {})
    inputs = [path for path in names_of(item["deps"]) if Path(path).parts[0] not in SOURCES]
    outs = names_of([*item.get("outs", []), *item.get("metrics", [])])
    described: dict[str, Any] = {"stage": name, "does": item["desc"]}
    if takes.get("gpus"):
        import torch

        described["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    if takes.get("ranks"):
        described["processes"] = os.environ.get("OFT_TRAIN_PROCESSES", "1")
    return {
        **described,
        "settings": chosen_settings(item.get("params", []), settings),
        "reads": {path: "there" if Path(path).exists() else "missing" for path in inputs},
        "writes": {path: "there, replaced" if Path(path).exists() else "new" for path in outs},
    }


def names_of(entries: list[Any]) -> list[str]:
    """Return the paths of deps, params or outs; one with options is a mapping of its own."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def chosen_settings(entries: list[Any], settings: Values) -> dict[str, Any]:
    """Return the settings that a stage's ``params`` name; a whole file stands for all of them.

    What trainings share stands in each training's own section already.
    """
    paths = names_of(entries)
    if "params.yaml" in paths:
        return dict(settings)
    return {path: look_up(path, settings) for path in paths if path != SHARED_SECTION}
