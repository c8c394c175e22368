"""What pydantic finds in settings, in words: key, rule and value, with the near name of an unknown key."""

from __future__ import annotations

import difflib
import math
import reprlib
from typing import Any

from pydantic import BaseModel

from oft.adapters.registry import METHODS
from oft.conditions.registry import CONDITIONS
from oft.settings.training import SHARED_SECTION
from oft.storage.yaml12 import yaml_number

# As repr, but short whatever was written; reprlib alone cuts a path at thirty characters.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
_SHORT.maxlist = _SHORT.maxdict = 20


def describe(fault: Any, settings: type[BaseModel]) -> list[str]:
    """Return one of pydantic's faults as lines.

    Args:
        settings: the class that was to be made of the values.
    """
    location = fault["loc"]
    if location[:1] == ("adapters",) and len(location) > 2:
        location = (*location[:2], *location[3:])  # the third part is the method that chose the settings
    key = ".".join(str(part) for part in location)
    value = fault.get("input")
    match fault["type"]:
        case "union_tag_invalid" | "union_tag_not_found":
            method = value.get("method") if isinstance(value, dict) else None
            found = "missing" if method is None else _shown(method)
            return [f"{key}.method: must be one of {', '.join(METHODS)}; it is {found}"]
        case "extra_forbidden":
            near = difflib.get_close_matches(str(location[-1]), _known_keys(settings, fault["loc"][:-1]), n=1)
            return [f"{key}: unknown key{f'; did you mean {near[0]!r}?' if near else '; remove it'}"]
        case "missing":
            return [f"{key}: missing; copy it from conf/defaults.yaml"]
        case "value_error":
            message = str(fault["ctx"]["error"])
            if not key:
                return message.split("\n")
            shown = "" if isinstance(value, dict) else f"; it is {_shown(value)}"
            return [f"{key}: {message}{shown}"]
        case "float_type" if isinstance(value, str) and _is_number(value):
            return [f"{key}: must be a number; {_shown(value)} is text; write {yaml_number(float(value))}"]
        case _:
            rule = fault["msg"][0].lower() + fault["msg"][1:]
            return [f"{key}: {rule}; it is {_shown(value)}"]


def _shown(value: Any) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no more than 4300 digits
        return "a number of too many digits"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _known_keys(settings: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the names of the settings in the section at ``location``."""
    section: Any = settings
    if location[:1] == ("adapters",) and len(location) > 2:
        section, location = METHODS[location[2]].settings, location[3:]
    if location == (SHARED_SECTION,):
        location = ("train",)
    if location[:1] == ("conditions",):
        known = {name: condition.settings for name, condition in CONDITIONS.items()}
        if len(location) == 1:
            return list(known)
        section, location = known.get(location[1]), location[2:]
    for part in location:
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            break
        field = section.model_fields.get(str(part))
        section = field.annotation if field else None
    if isinstance(section, type) and issubclass(section, BaseModel):
        return list(section.model_fields)
    return []
