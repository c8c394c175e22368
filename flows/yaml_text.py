"""Settings as YAML that DVC and PyYAML read alike."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Quotes every text that has a digit: 1e5 is text to PyYAML (YAML 1.1) and a number to DVC (1.2)."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if any(map(str.isdecimal, text)) else None
    ),
)


def dump_yaml(values: Any) -> str:
    """Return plain values as YAML, keys in their order; readers of YAML 1.1 and 1.2 read the same from it."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
