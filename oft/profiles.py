"""Profiles: named sets of settings, composed from conf/ by Hydra, written to params.yaml with comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.errors import ParamsError, first_line
from oft.params import parse_params
from oft.storage import YAMLError, atomic_file, flatten, load_yaml, update_yaml

DEFAULTS_FILE = "defaults.yaml"


def list_profiles(conf: Path) -> list[str]:
    """Return the names of the profiles in ``conf``/profile."""
    return sorted(path.stem for path in (conf / "profile").glob("*.yaml"))


def compose_profile(conf: Path, name: str) -> dict[str, Any]:
    """Return the settings of a profile, as ``dvc exp run -S profile=<name>`` composes them too.

    Raises:
        ParamsError: there is no such profile, a file of ``conf`` is no mapping of settings, Hydra cannot
            compose them, or reads a value otherwise than DVC and stages do.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if name not in list_profiles(conf):
        raise ParamsError(
            f"{conf / 'profile'} has no profile {name!r}; it has {', '.join(list_profiles(conf))}"
        )
    for path in sorted(conf.rglob("*.yaml")):
        _refuse_ambiguous(path)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base=None):
            chosen = compose("config", overrides=[f"profile={name}"])
        composed = OmegaConf.to_container(chosen, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ParamsError(
            f"{conf / 'profile' / name}.yaml: Hydra cannot compose this profile: {first_line(error)}; mend it"
        ) from error
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
        partial.write_text(update_yaml(text, values, str(target)), encoding="utf-8")


def _refuse_ambiguous(path: Path) -> None:
    """Refuse a file of conf/ with a value that is another to Hydra, which reads YAML 1.1."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    remedy = f"mend it or run `git checkout {path}`"
    try:
        values = load_yaml(path.read_text(encoding="utf-8")) or {}
        if not isinstance(values, dict):
            raise ParamsError(
                f"{path}: must be a mapping of settings, and holds a {type(values).__name__}; {remedy}"
            )
        composed = OmegaConf.to_container(OmegaConf.load(path), throw_on_missing=True)  # of ???
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path} is not UTF-8 text ({error}); save it as UTF-8 or run `git checkout {path}`"
        ) from None
    except YAMLError as error:
        raise ParamsError(f"{path} is no valid YAML: {error}; {remedy}") from None
    except OmegaConfBaseException as error:
        raise ParamsError(f"{path}: Hydra cannot read it: {first_line(error)}; {remedy}") from error
    assert isinstance(composed, dict)
    theirs, ours = flatten({str(key): value for key, value in composed.items()}), flatten(values)
    for key, value in theirs.items():
        if repr(value) != repr(ours.get(key)):
            says = f"says {ours[key]!r}" if key in ours else "has no such key"
            raise ParamsError(
                f"{path}: {key}: Hydra reads {value!r}, and YAML 1.2 {says}; write text in quotes (keys such "
                "as on or no too), numbers in decimal digits, and true or false"
            )
