"""YAML 1.2 as DVC reads it, for every file that DVC, Hydra or a person reads and writes too.

DVC reads and writes YAML 1.2 with ruamel.yaml, which takes four seconds for the dvc.lock of this pipeline.
libyaml behind PyYAML takes a tenth of one, but knows YAML 1.1, where ``1e-05`` is text, ``0550`` is 360 and
``no`` is false. So PyYAML parses here, with the rules of YAML 1.2 for plain scalars; tests hold it to ruamel.
(In brackets libyaml refuses plain scalars with a colon at one end, which ruamel takes: ``[:a]``.)
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from yaml import MarkedYAMLError, YAMLError
from yaml.constructor import ConstructorError

from oft.errors import ParamsError
from oft.storage.files import flatten

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_ALIAS = "alias"

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


def update_yaml(text: str, values: Mapping[str, Any], source: str = "params.yaml") -> str:
    """Return a YAML text with other values in place; every line that need not change is kept as it is.

    Comments stay, but those beside or inside a value that goes. Where values that are shared (``*name``,
    ``<<``) are to differ, they are written out.

    Args:
        text: a mapping.
        values: what it shall hold; keys that are not among them are taken out.
        source: what the message calls the text.

    Raises:
        ParamsError: the text would not be read as these values; the message names the first that would not.
    """
    current = load_yaml(text)
    if _is_same(current, values):
        return text
    document = yaml.compose(text, Loader=_Places)
    if not _is_editable(document, current, values):
        return dump_yaml(values)
    fault = ""
    for write_out in (False, True):
        edited = text
        try:
            edits = list(_edits(text, document, current, values, write_out=write_out))
            # From the end on, so that places before an edit stay; of edits at one the later goes in first.
            for start, end, new in sorted(edits, key=lambda edit: edit[0])[::-1]:
                edited = edited[:start] + new + edited[end:]
            read = load_yaml(edited)
        except YAMLError as error:
            fault = str(error)
            continue
        if _is_same(read, values):
            return edited
        fault = "the result would not be read as it is meant"
        if isinstance(read, Mapping):
            theirs, ours = flatten(read), flatten(values)
            wrong = [key for key in ours | theirs if not _is_same(theirs.get(key), ours.get(key))]
            fault = f"{', '.join(wrong[:3])} would not be read as set"
    raise ParamsError(
        f"{source}: cannot be edited ({fault}); write out what is shared by & and *, or edit it by hand"
    )


def yaml_number(value: float) -> str:
    """Return a finite number as readers of YAML 1.1 and 1.2 read it: with a point before the exponent."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


class _Places(yaml.SafeLoader):
    """Composes nodes with their places in the text; an alias is a node of its own.

    (Places that libyaml gives leave a byte order mark out.)
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            return yaml.ScalarNode(_ALIAS, event.anchor, event.start_mark, event.end_mark)
        return super().compose_node(parent, index)


class _OneLineDumper(_Dumper):
    """Writes a value in one line."""


_OneLineDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(f"{_TAG}str", text, style='"' if "\n" in text else None),
)
_OneLineDumper.ignore_aliases = lambda *_: True


def _edits(
    text: str, node: Any, current: Mapping[str, Any], values: Mapping[str, Any], *, write_out: bool
) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and new text of each part of a mapping's text that must change, in its order.

    Args:
        write_out: put values in the place of each alias and merge.
    """
    first = text[_line_start(text, node.value[0][0].start_mark.index) :]  # of a long key it begins with "? "
    indent = len(first) - len(first.lstrip(" "))
    written = set()
    for key_node, value_node in node.value:
        start, end = value_node.start_mark.index, _end(text, value_node)
        line = _line_start(text, key_node.start_mark.index), _line_end(text, end)
        if key_node.tag == _MERGE:
            if write_out:
                yield *line, ""
            continue
        key: Any = load_yaml(text[key_node.start_mark.index : key_node.end_mark.index])
        written.add(key)
        if key not in values:
            yield *line, ""
        elif _is_same(current[key], values[key]) and not (write_out and _shares(value_node)):
            continue
        elif _is_editable(value_node, current[key], values[key]):
            yield from _edits(text, value_node, current[key], values[key], write_out=write_out)
        else:
            colon = text.index(":", key_node.end_mark.index) + 1
            new = _written(values[key], indent, in_one_line=bool(node.flow_style))
            if "\n" in text[colon:start] and not node.flow_style:  # a comment may stand behind the colon
                yield colon, colon, new
                yield _line_start(text, start), _line_end(text, end), ""
            else:
                yield colon, end, new
    added = {
        key: value
        for key, value in values.items()
        if key not in written and (write_out or key not in current or not _is_same(current[key], value))
    }
    if added:
        place = _line_end(text, _end(text, node))
        lines = _lines(added, indent)
        yield place, place, f"{lines}\n" if text[:place].endswith("\n") else f"\n{lines}"


def _is_editable(node: Any, current: Any, new: Any) -> bool:
    """Return whether a mapping's text is edited part by part: a block, or one in braces whose keys stay."""
    if not (isinstance(node, yaml.MappingNode) and isinstance(new, Mapping) and new):
        return False
    keys_stay = current.keys() == new.keys() and all(key.tag != _MERGE for key, _ in node.value)
    return keys_stay or not node.flow_style


def _shares(node: Any) -> bool:
    if not isinstance(node, yaml.CollectionNode):
        return bool(node.tag == _ALIAS)
    is_mapping = isinstance(node, yaml.MappingNode)
    return any(_shares(each[1] if is_mapping else each) for each in node.value)


def _end(text: str, node: Any) -> int:
    """Return where a node's text ends; PyYAML has a block end where the next one begins, behind comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(node, yaml.MappingNode) else last)
    start, end = node.start_mark.index, node.end_mark.index
    return start + len(text[start:end].rstrip())


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _line_end(text: str, place: int) -> int:
    """Return where the line after that of a place begins."""
    return text.find("\n", place) + 1 or len(text)


def _written(value: Any, indent: int, *, in_one_line: bool) -> str:
    """Return what stands behind a colon: a mapping with lists or mappings in lines of its own."""
    is_deep = isinstance(value, dict) and any(isinstance(each, (dict, list)) for each in value.values())
    return f"\n{_lines(value, indent + 2)}" if is_deep and not in_one_line else f" {_in_one_line(value)}"


def _lines(values: Mapping[str, Any], indent: int) -> str:
    return "\n".join(
        f"{' ' * indent}{_in_one_line(key)}:{_written(value, indent, in_one_line=False)}"
        for key, value in values.items()
    )


def _in_one_line(value: Any) -> str:
    # In a list, as a document that is one plain scalar is written with a line "..." below it.
    listed: str = yaml.dump(
        [value],
        Dumper=_OneLineDumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=sys.maxsize,
    )
    return listed.rstrip("\n")[1:-1]


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type: 1, 1.0 and true are three."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)  # nan is itself


__all__ = [
    "PLAIN_SCALARS",
    "MarkedYAMLError",
    "YAMLError",
    "dump_yaml",
    "load_yaml",
    "update_yaml",
    "yaml_number",
]
