"""The training request: of one kind, checked as a whole; a faulty one is refused with all faults at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from flows.requests.checks import common_checks
from flows.requests.faults import MAX_FAULTS, describe_fault, refuse, shown
from flows.requests.kinds import KINDS, CommonRequest
from flows.requests.site import Site
from oft.errors import ParamsError, UserError


def parse_request(values: Any, site: Site | None = None) -> CommonRequest:
    """Return the request in ``values``, of the kind that it names, addresses in full.

    Args:
        site: what the server allows; None skips the checks that depend on it.

    Raises:
        ParamsError: it lists every unknown key, missing key, wrong type, value out of range or out of bounds.
    """
    if isinstance(values, CommonRequest):
        values = values.model_dump()
    if not isinstance(values, Mapping):
        raise ParamsError('request: must be an object of parameters, such as {"instance_prompt": ...}')
    kind = _choose_kind(values)
    faults: list[str] = []
    broken: set[str] = set()
    num_more = 0
    try:
        kind.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors()
        places = [fault["loc"][:1] for fault in found]
        broken = {str(place[0]) for place in places if place}
        if not all(places):  # the whole request is
            broken.update(kind.model_fields)
        faults += [describe_fault(fault, KINDS, kind) for fault in found[:MAX_FAULTS]]
        num_more = len(found) - len(faults)
    sound = {
        name: values.get(name, field.default)
        for name, field in kind.model_fields.items()
        if name not in broken
    }
    resolved: dict[str, Any] = {}
    for needed, check in (*kind.checks(), *common_checks(kind, site)):
        if needed <= set(sound):
            try:
                resolved |= check(sound)
            except UserError as error:
                faults.append(str(error))
    refuse(faults, num_more)
    return kind.model_validate(sound | resolved)


def _choose_kind(values: Mapping[str, Any]) -> type[CommonRequest]:
    asked = values.get("kind", next(iter(KINDS)))
    if not isinstance(asked, str) or asked not in KINDS:
        near = difflib.get_close_matches(asked, KINDS, n=1) if isinstance(asked, str) else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        refuse([f"kind: must be one of {', '.join(KINDS)}; it is {shown(asked)}{hint}"])
    return KINDS[asked]
