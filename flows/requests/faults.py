"""What is wrong with a request, in words: key, rule, value, remedy, and no secret."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oft.errors import ParamsError

if TYPE_CHECKING:
    from flows.requests.kinds.common import CommonRequest

MAX_SHOWN_CHARS = 80
MAX_FAULTS = 20
"""Told one by one, so that a message stays one that can be read."""


def describe_fault(fault: Any, kinds: Mapping[str, type[CommonRequest]], chosen: type[CommonRequest]) -> str:
    """Return pydantic's fault as key, rule and value.

    Args:
        kinds: all kinds of requests.
        chosen: the one that was asked for.
    """
    # Without a place it is of the whole, such as a key that is no text.
    key = ".".join(shorten(str(part)) for part in fault["loc"]) or "request"
    match fault["type"]:
        case "extra_forbidden":
            return f"{key}: {_describe_unknown(str(fault['loc'][-1]), kinds, chosen)}"
        case "missing":
            return f"{key}: missing; {chosen.model_fields[key].description}"
        case "value_error":
            return f"{key}: {fault['ctx']['error']}"
    rule = fault["msg"][0].lower() + fault["msg"][1:]
    # An address is never repeated: it may hold a password or a signature.
    is_secret = key in chosen.addresses()
    return f"{key}: {rule}" if is_secret else f"{key}: {rule}; it is {shown(fault['input'])}"


def _describe_unknown(key: str, kinds: Mapping[str, type[CommonRequest]], chosen: type[CommonRequest]) -> str:
    kind = chosen.kind_name()
    if of_others := [name for name, each in kinds.items() if key in each.model_fields]:
        others = " or ".join(map(repr, of_others))
        return f"a training of kind {kind!r} has none; remove it, or set kind to {others}"
    near = difflib.get_close_matches(key, chosen.model_fields, n=1)
    return "unknown key; " + (f"did you mean {near[0]!r}?" if near else "remove it")


def refuse(faults: list[str], num_more: int = 0) -> None:
    """Return if there is no fault.

    Args:
        num_more: how many there are beside those in ``faults``.

    Raises:
        ParamsError: it lists all of them.
    """
    if faults:
        raise ParamsError(
            f"{len(faults) + num_more} parameter(s) of the request break the rules:\n"
            + "\n".join(f"  - {fault}" for fault in faults)
            + (f"\n  and {num_more} more" if num_more else "")
        )


def shown(value: object) -> str:
    """Return a value as messages show it: printable, and not too long."""
    try:
        return shorten(repr(value))
    except (RecursionError, ValueError):  # lists within lists, numbers of thousands of digits
        return f"a value of type {type(value).__name__} that is too long to show"


def shorten(text: str, max_chars: int = MAX_SHOWN_CHARS) -> str:
    """Return a text as messages show it: printable, and not too long."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= max_chars else f"{shown[: max_chars - 1]}…"
