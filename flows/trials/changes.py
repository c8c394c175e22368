"""Changes of settings as they are given on the command line, and what a sweep must leave as it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from oft.errors import UserError
from oft.storage import YAMLError, load_yaml

REPORTED_SEEDS = (0, 1, 2)
"""The seeds whose pictures reported figures are measured on."""
VALIDATION_SEED = 1000
"""The seed whose pictures settings are chosen on."""

Changes = Mapping[str, Any]
"""Settings by their keys, joined with points as in ``train.learning_rate``."""

# What decides which pictures are judged, and how: scores of two trials compare only where they agree in it.
_JUDGED = ("blip", "conditions", "evaluate", "resolution_px", "seed", "shards", "styles", "subjects", "tasks")
_FREE_OF_DATASETS = "num_train_images"


def parse_change(text: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE``; the value is YAML.

    Raises:
        UserError: there is no key, no value, or the value is no YAML.
    """
    key, values = parse_sweep(text, option="--set", lists=False)
    return key, values[0]


def parse_sweep(text: str, option: str = "--sweep", lists: bool = True) -> tuple[str, list[Any]]:
    """Return key and values of ``KEY=VALUE,VALUE``; see `parse_change`.

    Args:
        lists: false takes what follows the sign as one value.

    Raises:
        UserError: see `parse_change`.
    """
    key, equals, written = text.partition("=")
    shape = "KEY=VALUE,VALUE" if lists else "KEY=VALUE"
    if not (key and equals and written):
        raise UserError(
            f"{option} {text!r} must be {shape}, for example train.learning_rate="
            f"{'1e-3,2e-3' if lists else '1e-3'}"
        )
    try:
        values = load_yaml(f"[{written}]" if lists else written)
    except YAMLError as error:
        raise UserError(f"{option} {text!r}: the value is no YAML ({error})") from None
    found = values if lists else [values]
    if any(found.count(value) > 1 for value in found):
        raise UserError(f"{option} {text!r} names a value twice; leave one out")
    return key, found


def apply_changes(values: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Return settings with changes; whether the last part of a key is one, `oft.params` checks.

    Raises:
        UserError: a key leads through what is no section.
    """
    changed = copy.deepcopy(dict(values))
    for key, value in changes.items():
        *sections, name = key.split(".")
        place: Any = changed
        for depth, section in enumerate(sections):
            place = place.get(section)
            if not isinstance(place, dict):
                known = ", ".join(sorted(values)) if depth == 0 else "no such section"
                raise UserError(
                    f"{key}: {'.'.join(sections[: depth + 1])} is no section of params.yaml ({known})"
                )
        place[name] = value
    return changed


def grid(sweeps: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
    """Return every combination of the values of several keys.

    Raises:
        UserError: a key is swept twice, or decides what is judged.
    """
    keys = [key for key, _ in sweeps]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(f"--sweep {twice} stands there twice; give its values in one list")
    for key in keys:
        _refuse_judged(key)
    return [dict(zip(keys, values, strict=True)) for values in product(*(values for _, values in sweeps))]


def refuse_reported_seeds(seeds: Sequence[int], params_seed: int) -> None:
    """Refuse seeds whose pictures a reported figure is measured on.

    Args:
        params_seed: the seed in params.yaml, whose run the report shows.

    Raises:
        UserError: one of them is.
    """
    reported = {*REPORTED_SEEDS, params_seed}
    if taken := [seed for seed in seeds if seed in reported]:
        raise UserError(
            f"--seeds {','.join(map(str, taken))}: figures are reported on the pictures of seeds "
            f"{', '.join(map(str, sorted(reported)))}, and settings chosen on them would make the figures "
            f"look better than they are; choose on other pictures, such as those of seed {VALIDATION_SEED}"
        )


def describe_changes(changes: Changes) -> str:
    """Return changes in a line; of none, that there are none."""
    return ", ".join(f"{key}={value}" for key, value in changes.items()) or "params.yaml as it is"


def _refuse_judged(key: str) -> None:
    section = key.partition(".")[0]
    of_data = section == "datasets" and key.rpartition(".")[2] != _FREE_OF_DATASETS
    if section in _JUDGED or of_data:
        raise UserError(
            f"--sweep {key}: it decides which pictures are judged or how, so scores under its values do not "
            "compare; sweep what is trained or sampled with, or run it with --set, once for each value"
        )
