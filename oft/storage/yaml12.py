"""YAML 1.2 as DVC reads it, for every file that DVC, Hydra or a person reads and writes too.

DVC reads and writes YAML 1.2 with ruamel.yaml, which takes four seconds for the dvc.lock of this pipeline.
libyaml behind PyYAML takes a tenth of one, but knows YAML 1.1, where ``1e-05`` is text, ``0550`` is 360 and
``no`` is false. So PyYAML parses here, with the rules of YAML 1.2 for plain scalars; tests hold it to ruamel.
(In brackets libyaml refuses plain scalars with a colon at one end, which ruamel takes: ``[:a]``.)
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Any

import yaml
from yaml import MarkedYAMLError, YAMLError
from yaml.constructor import ConstructorError

_TAG = "tag:yaml.org,2002:"

# Tag, pattern and first characters of each kind of plain scalar, as in ruamel.yaml.resolver under YAML 1.2.
PLAIN_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    (
        "float",
        r"""^(?:
         [-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
        "-+0123456789.",
    ),
    (
        "int",
        r"""^(?:[-+]?0b[0-1_]+
        |[-+]?0o?[0-7_]+
        |[-+]?[0-9_]+
        |[-+]?0x[0-9a-fA-F_]+)$""",
        "-+0123456789",
    ),
    ("merge", r"^(?:<<)$", "<"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    (
        "timestamp",
        r"""^(?:[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]
        |[0-9][0-9][0-9][0-9]-[0-9][0-9]?-[0-9][0-9]?
        (?:[Tt]|[ \t]+)[0-9][0-9]?
        :[0-9][0-9]:[0-9][0-9](?:\.[0-9]*)?
        (?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9][0-9])?))?)$""",
        "0123456789",
    ),
    ("value", r"^(?:=)$", "="),
)

_BASES = {"0b": 2, "0o": 8, "0x": 16}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012, PyYAML's own name; none of YAML 1.1's

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else key_node
            if key in keys:
                raise ConstructorError(
                    "while constructing a mapping",
                    node.start_mark,
                    f"found a second key {key_node.value!r}",
                    key_node.start_mark,
                )
            keys.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):  # as of 2024-13-45, !!bool foo
            kind = node.tag.rpartition(":")[2]
            problem = f"{reprlib.repr(node.value)} is no {kind}; put text in quotes"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node).replace("_", "")
        unsigned = text.lstrip("+-")
        base = _BASES.get(unsigned[:2], 10)
        number = int(unsigned if base == 10 else unsigned[2:], base)
        return -number if text.startswith("-") else number


class _Dumper(yaml.SafeDumper):
    """Writes what readers of YAML 1.1 and 1.2 read alike: text that one of them takes otherwise is quoted."""


for _name, _pattern, _first in PLAIN_SCALARS:
    for _class in (_Loader, _Dumper):
        _characters = [*_first, *([""] if _name == "null" else [])]
        _class.add_implicit_resolver(_TAG + _name, re.compile(_pattern, re.VERBOSE), _characters)
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)


def load_yaml(text: str | bytes) -> Any:
    """Return the value in a text of YAML 1.2.

    Raises:
        YAMLError: it is no YAML, or a mapping has a key twice.
    """
    return yaml.load(text, Loader=_Loader)


def dump_yaml(value: Any, *, sort_keys: bool = False, width: int | None = None) -> str:
    """Return plain values as YAML that readers of 1.1 and 1.2 read alike."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=sort_keys, allow_unicode=True, width=width)
    return text


def update_yaml(text: str, values: Mapping[str, Any]) -> str:
    """Return a YAML text with other values in place: comments, order and quotes of the rest are kept.

    Args:
        text: a mapping.
        values: what it shall hold; keys that are not among them are taken out.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.compat import StringIO

    if load_yaml(text) == values:
        return text
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    # Python's 1e-05 is text to readers of YAML 1.1.
    editor.representer.add_representer(
        float, lambda representer, value: representer.represent_scalar(f"{_TAG}float", yaml_number(value))
    )
    editor.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar(f"{_TAG}null", "null")
    )
    document = editor.load(text)
    _put(document, values)
    stream = StringIO()
    editor.dump(document, stream)
    return str(stream.getvalue())


def yaml_number(value: float) -> str:
    """Return a finite number as readers of YAML 1.1 and 1.2 read it: with a point before the exponent."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


def _put(document: Any, values: Mapping[str, Any]) -> None:
    """Change a commented mapping to ``values`` where it differs, in place."""
    for key in [key for key in document if key not in values]:
        del document[key]
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), dict):
            _put(document[key], value)
        elif key not in document or document[key] != value:
            document[key] = _in_one_line(value)


def _in_one_line(value: Any) -> Any:
    """Return lists and mappings of plain values so that they are written in one line each."""
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


__all__ = [
    "PLAIN_SCALARS",
    "MarkedYAMLError",
    "YAMLError",
    "dump_yaml",
    "load_yaml",
    "update_yaml",
    "yaml_number",
]
