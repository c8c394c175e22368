"""Profiles: named sets of settings, composed from conf/ by Hydra, written to params.yaml with comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.errors import ParamsError
from oft.params import parse_params
from oft.storage import YAMLError, atomic_file, flatten, load_yaml, update_yaml

DEFAULTS_FILE = "defaults.yaml"


def list_profiles(conf: Path) -> list[str]:
    """Return the names of the profiles in ``conf``/profile."""
    return sorted(path.stem for path in (conf / "profile").glob("*.yaml"))


def compose_profile(conf: Path, name: str) -> dict[str, Any]:
    """Return the settings of a profile, as ``dvc exp run -S profile=<name>`` composes them too.

    Raises:
        ParamsError: there is no such profile, or Hydra reads a value otherwise than DVC and stages do.
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    if name not in list_profiles(conf):
        raise ParamsError(
            f"{conf / 'profile'} has no profile {name!r}; it has {', '.join(list_profiles(conf))}"
        )
    for path in sorted(conf.rglob("*.yaml")):
        _refuse_ambiguous(path)
    with initialize_config_dir(str(conf.resolve()), version_base=None):
        composed = OmegaConf.to_container(compose("config", overrides=[f"profile={name}"]), resolve=True)
    assert isinstance(composed, dict)
    return {str(key): value for key, value in composed.items()}


def write_profile(conf: Path, name: str, target: Path) -> None:
    """Write a profile's settings over ``target``: the text of conf/defaults.yaml, comments included, with the
    profile's values in place.

    Raises:
        ParamsError: there is no such profile, or its settings break a rule; ``target`` is left as it was.
    """
    values = compose_profile(conf, name)
    parse_params(values, str(conf / "profile" / f"{name}.yaml"))
    text = (conf / DEFAULTS_FILE).read_text(encoding="utf-8")
    with atomic_file(target) as partial:
        partial.write_text(update_yaml(text, values), encoding="utf-8")


def _refuse_ambiguous(path: Path) -> None:
    """Refuse a file of conf/ with a value that is another to Hydra, which reads YAML 1.1."""
    from omegaconf import OmegaConf

    try:
        values = load_yaml(path.read_text(encoding="utf-8")) or {}
    except YAMLError as error:
        raise ParamsError(f"{path} is no valid YAML: {error}; mend it or run `git checkout {path}`") from None
    composed = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(composed, dict)
    theirs, ours = flatten({str(key): value for key, value in composed.items()}), flatten(values)
    for key, value in theirs.items():
        if repr(value) != repr(ours[key]):
            raise ParamsError(
                f"{path}: {key}: Hydra reads {value!r}, and YAML 1.2 says {ours[key]!r}; write text in "
                "quotes, numbers in decimal digits, and true or false"
            )
