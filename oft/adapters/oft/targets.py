"""Which of a model's layers are adapted."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from torch import nn

from oft.adapters.oft.adapting import is_adaptable
from oft.adapters.oft.layer_adapter import LayerAdapter
from oft.errors import ParamsError


def find_targets(model: nn.Module, patterns: Sequence[str] | str) -> dict[str, nn.Module]:
    """Return the linear layers and convolutions that patterns name, in the model's order.

    A list names layers by their names or what ends them after a dot; one string is a regular expression for
    the whole name. These are PEFT's rules for ``target_modules``.

    Raises:
        ParamsError: two layers share a weight; a pattern matches nothing, is no regular expression, or
        matches a module of another class.
    """
    targets: dict[str, nn.Module] = {}
    listed = [patterns] if isinstance(patterns, str) else patterns
    unmatched = dict.fromkeys(listed)
    adapters = [f"{name}." for name, module in model.named_modules() if isinstance(module, LayerAdapter)]
    for name, module in model.named_modules():
        matches = _matches(name, patterns)
        if not matches or f"{name}.".startswith(tuple(adapters)):
            continue
        if not is_adaptable(module):
            if isinstance(patterns, str):
                continue  # an expression for whole names sweeps over containers
            raise ParamsError(
                "target_modules: only plain torch.nn.Linear and torch.nn.Conv2d and quantised linear layers "
                f"can be adapted, and {matches[0]!r} matches {name!r}, a {type(module).__name__} (or one "
                "whose forward was replaced); narrow the pattern or take off what wraps the layer"
            )
        targets[name] = module
        for pattern in matches:
            unmatched.pop(pattern, None)
    _refuse_tied(targets)
    if unmatched:
        layers = [name for name, module in model.named_modules() if is_adaptable(module)]
        near = difflib.get_close_matches(next(iter(unmatched)), layers, n=3, cutoff=0.0)
        raise ParamsError(
            f"target_modules: every pattern must name a linear layer or a convolution, and "
            f"{', '.join(map(repr, unmatched))} names none of {type(model).__name__}'s; "
            f"layers near it: {', '.join(near) or 'none'}"
        )
    return targets


def _refuse_tied(targets: Mapping[str, nn.Module]) -> None:
    owners: dict[int, str] = {}
    for name, layer in targets.items():
        first = owners.setdefault(id(layer.weight), name)
        if first != name:
            raise ParamsError(
                f"target_modules: layers must have weights of their own, and {first!r} and {name!r} share "
                "one; leave one of them out"
            )


def _matches(name: str, patterns: Sequence[str] | str) -> list[str]:
    if not isinstance(patterns, str):
        return [pattern for pattern in patterns if name == pattern or name.endswith(f".{pattern}")]
    try:
        return [patterns] if re.fullmatch(patterns, name) else []
    except re.error as fault:
        raise ParamsError(
            f"target_modules: one string is a regular expression for whole names, and {patterns!r} is none "
            f"({fault}); give a list of name endings, or mend it"
        ) from fault
