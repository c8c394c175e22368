"""Profiles: named sets of settings, composed from conf/ by Hydra, written to params.yaml with comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.errors import ParamsError
from oft.params import parse_params, yaml_number
from oft.storage import atomic_file

DEFAULTS_FILE = "defaults.yaml"
NULL_TAG = "tag:yaml.org,2002:null"
FLOAT_TAG = "tag:yaml.org,2002:float"


def list_profiles(conf: Path) -> list[str]:
    """Return the names of the profiles in ``conf``/profile."""
    return sorted(path.stem for path in (conf / "profile").glob("*.yaml"))


def compose_profile(conf: Path, name: str) -> dict[str, Any]:
    """Return the settings of a profile, as ``dvc exp run -S profile=<name>`` composes them too.

    Raises:
        ParamsError: there is no such profile.
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    if name not in list_profiles(conf):
        raise ParamsError(
            f"{conf / 'profile'} has no profile {name!r}; it has {', '.join(list_profiles(conf))}"
        )
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
    from ruamel.yaml import YAML

    values = compose_profile(conf, name)
    parse_params(values, str(conf / "profile" / f"{name}.yaml"))
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    # Python's 1e-05 is text to readers of YAML 1.1, of which PyYAML is one.
    yaml.representer.add_representer(
        float, lambda representer, value: representer.represent_scalar(FLOAT_TAG, yaml_number(value))
    )
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar(NULL_TAG, "null")
    )
    text = (conf / DEFAULTS_FILE).read_text(encoding="utf-8")
    document = yaml.load(text)
    if values == YAML(typ="safe").load(text):
        with atomic_file(target) as partial:
            partial.write_text(text, encoding="utf-8")
        return
    _put(document, values)
    with atomic_file(target) as partial, partial.open("w", encoding="utf-8") as stream:
        yaml.dump(document, stream)


def _in_one_line(value: Any) -> Any:
    """Return lists and mappings of plain values so that they are written as in conf/defaults.yaml."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, list):
        value = CommentedSeq(value)
    elif isinstance(value, dict) and not any(isinstance(each, (dict, list)) for each in value.values()):
        value = CommentedMap(value)
    elif isinstance(value, dict):
        return {key: _in_one_line(each) for key, each in value.items()}
    else:
        return value
    value.fa.set_flow_style()
    return value


def _put(document: Any, values: dict[str, Any]) -> None:
    """Change a commented mapping to ``values`` where it differs, in place."""
    for key in [key for key in document if key not in values]:
        del document[key]
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            _put(document[key], value)
        elif key not in document or document[key] != value:
            document[key] = _in_one_line(value)
