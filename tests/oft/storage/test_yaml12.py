"""YAML is read as DVC's reader (ruamel.yaml, YAML 1.2) reads it, and written so that all read it alike."""

from __future__ import annotations

import copy
import io
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError as RuamelError
from ruamel.yaml.resolver import implicit_resolvers

from oft.errors import ParamsError
from oft.storage.yaml12 import PLAIN_SCALARS, YAMLError, dump_yaml, load_yaml, update_yaml
from tests.conftest import ROOT


def read_like_dvc(text: str) -> Any:
    return YAML(typ="safe").load(text)


def exactly(value: Any) -> str:
    """A value so that 1, 1.0, True and '1' differ, and nan equals itself."""
    return repr(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", 1e-5),
        ("6.0e-5", 6e-5),
        ("1E5", 1e5),
        ("-1e+3", -1000.0),
        ("0550", 550),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("yes", "yes"),
        ("off", "off"),
        ("n", "n"),
        ("True", True),
        ("", None),
        ("~", None),
        (".inf", math.inf),
        ("'1e-05'", "1e-05"),
        ("1e", "1e"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert (
        exactly(load_yaml(f"key: {text}"))
        == exactly({"key": value})
        == exactly(read_like_dvc(f"key: {text}"))
    )


def test_rules_for_plain_scalars_are_ruamels() -> None:
    theirs = {
        tag: (re.sub(r"\s+", "", pattern.pattern), set(first))
        for versions, tag, pattern, first in implicit_resolvers
        if (1, 2) in versions and not tag.endswith(":yaml")  # it is there for documentation's sake
    }
    ours = {
        f"tag:yaml.org,2002:{name}": (
            re.sub(r"\s+", "", pattern),
            {*first, *([""] if name == "null" else [])},
        )
        for name, pattern, first in PLAIN_SCALARS
    }
    assert ours == theirs


@pytest.mark.parametrize("seed", range(3))
def test_any_plain_scalar_is_read_as_dvc_reads_it(seed: int) -> None:
    draw = random.Random(seed)
    pieces = [
        *"0123456789+-.:eE_xoabtTZ~=<ynNf",
        "0x",
        "0o",
        "0b",
        "1e",
        "no",
        "null",
        "true",
        "inf",
        "2024-01-0",
    ]
    for _ in range(150):
        text = f"key: {''.join(draw.choices(pieces, k=draw.randint(1, 6)))}"
        try:
            expected = read_like_dvc(text)
        except (RuamelError, ValueError):
            with pytest.raises(YAMLError):
                load_yaml(text)
            continue
        assert exactly(load_yaml(text)) == exactly(expected), text


def some_value(draw: random.Random, depth: int = 0) -> Any:
    texts = [
        "1e-05",
        "0550",
        "1:30",
        "no",
        "0o17",
        "1_0",
        "=",
        "<<",
        "~",
        "",
        "12e45",
        "2024-01-01",
        "a: b",
        "é\n#",
    ]
    kind = draw.randrange(8 if depth < 3 else 6)
    match kind:
        case 0:
            return draw.choice(texts)
        case 1:
            return draw.uniform(-1, 1) * 10 ** draw.randint(-320, 300)
        case 2:
            return draw.randint(-(10**12), 10**12)
        case 3:
            return draw.choice([None, True, False, math.inf, -math.inf])
        case 4:
            return "".join(draw.choices("0123456789abcdef", k=32))
        case 5:
            return f"{draw.randrange(10**20)}e{draw.randrange(100)}"
        case 6:
            return [some_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {f"{draw.choice(texts)}{index}": some_value(draw, depth + 1) for index in range(draw.randrange(4))}


@pytest.mark.parametrize("seed", range(10))
def test_what_is_written_is_read_alike_by_every_reader(seed: int) -> None:
    value = {"value": some_value(random.Random(seed))}
    text = dump_yaml(value)
    assert exactly(load_yaml(text)) == exactly(value)
    assert exactly(read_like_dvc(text)) == exactly(value)
    assert exactly(yaml.safe_load(text)) == exactly(value)


@pytest.mark.parametrize("seed", range(10))
def test_what_dvc_writes_is_read_as_it_was_meant(seed: int) -> None:
    value = {"value": some_value(random.Random(seed))}
    stream = io.StringIO()
    YAML().dump(value, stream)
    assert exactly(load_yaml(stream.getvalue())) == exactly(value)


CONF = sorted((ROOT / "conf").rglob("*.yaml"))


@pytest.mark.parametrize("path", [ROOT / "params.yaml", ROOT / "dvc.yaml", *CONF], ids=lambda path: path.name)
def test_files_of_the_repository_are_read_as_dvc_reads_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert exactly(load_yaml(text)) == exactly(read_like_dvc(text))


@pytest.mark.parametrize(
    "text", ["a: 1\na: 2", "{a: 1, a: 2}", "x: {<<: {a: 1}, <<: {b: 1}}", "a: [", "a: 0x_"]
)
def test_what_dvc_refuses_is_refused(text: str) -> None:
    with pytest.raises((RuamelError, ValueError)):
        read_like_dvc(text)
    with pytest.raises(YAMLError):
        load_yaml(text)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("2024-13-45", "timestamp"),
        ("2024-01-01T25:00:00Z", "timestamp"),
        ("._", "float"),
        ("!!bool foo", "bool"),
        ("!!float foo", "float"),
        ('!!float ""', "float"),
        ("!!timestamp foo", "timestamp"),
        ("!!int foo", "int"),
        ("9" * 5000, "int"),
    ],
)
def test_what_looks_like_a_kind_of_value_and_is_none_is_refused_where_it_stands(
    written: str, kind: str
) -> None:
    text = f"first: 1\nkey: {written}"
    with pytest.raises((RuamelError, ValueError, LookupError)):
        read_like_dvc(text)
    with pytest.raises(YAMLError, match=rf"is no {kind}; put text in quotes(.|\n)*line 2, column 6"):
        load_yaml(text)


def test_a_mapping_may_stand_over_what_it_merges() -> None:
    text = "base: &base {a: 1, b: 2}\nmine: {<<: *base, b: 3}"
    assert load_yaml(text) == read_like_dvc(text) == {"base": {"a": 1, "b": 2}, "mine": {"a": 1, "b": 3}}


COMMENTED = """\
# What it is.
rate: 1e-05 # per step
names: [a, b]   # in order

deep:
  text: "quoted"
  # Gone with its key.
  gone: 1
  kept: 0o17
"""


def test_an_edit_leaves_every_other_line_alone() -> None:
    values = load_yaml(COMMENTED)
    assert update_yaml(COMMENTED, values) is COMMENTED
    values["rate"] = 2e-05
    changed = update_yaml(COMMENTED, values)
    assert changed == COMMENTED.replace("1e-05", "2.0e-05")
    for read in (load_yaml, read_like_dvc):
        assert read(changed) == values


def test_an_edit_adds_and_removes_keys() -> None:
    values = load_yaml(COMMENTED)
    del values["deep"]["gone"]
    values["new"] = {"list": [1, None], "rate": 1e-7}
    assert load_yaml(update_yaml(COMMENTED, values)) == values


def lines_of(text: str) -> set[str]:
    return set(text.splitlines())


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("a:\n  x: 1\n  y: 2\n\n# about b\nb: 3\n", {"a": {"x": 1}}, "a:\n  x: 1\n\n# about b\nb: 3\n"),
        ("a:\n  x: 1  # gone\n\n# about b\nb: 3\n", {"a": {}}, "a: {}\n\n# about b\nb: 3\n"),
        ("a:  # list\n- 1\n- 2\n# about b\nb: 3\n", {"a": [5]}, "a: [5]  # list\n# about b\nb: 3\n"),
        ("a: |\n  x\n  y\n\n# about b\nb: 3\n", {"a": "z"}, "a: z\n\n# about b\nb: 3\n"),
        ("a: [1, 2] # two\nb: 3", {"a": [1], "c": 4}, "a: [1] # two\nb: 3\nc: 4"),
        ("a:\n    - 1\n    - x: 2\nb: 3\n", {"b": 4}, "a:\n    - 1\n    - x: 2\nb: 4\n"),
        ("a: {x: 1,\n  y: 2} # two\nb: 3\n", {"a": {"x": 9, "y": 2}}, "a: {x: 9,\n  y: 2} # two\nb: 3\n"),
        ("a:\n  x:\n    y: 1\n# about b\nb: 3\n", {"a": {"x": {"z": 1}}}, None),
        ("\ufeffa: 1\nb: 3\n", {"a": 2, "c": 4}, "\ufeffa: 2\nb: 3\nc: 4\n"),
        ("? a\n: 1\nb: 3\n", {"a": 2, "c": 4}, "? a\n: 2\nb: 3\nc: 4\n"),
        ("a:\nb: 3\n", {"a": {"x": [1], "y": 2}}, "a:\n  x: [1]\n  y: 2\nb: 3\n"),
        ("a: 1.0\nb: 3\n", {"a": 1}, "a: 1\nb: 3\n"),
        ("a: 1\nb: 3\n", {"a": True}, "a: true\nb: 3\n"),
    ],
)
def test_an_edit_keeps_comments_and_indentation(
    before: str, change: dict[str, Any], after: str | None
) -> None:
    values = {**load_yaml(before), **change}
    edited = update_yaml(before, values)
    assert exactly(load_yaml(edited)) == exactly(read_like_dvc(edited)) == exactly(values)
    assert edited == (after or "a:\n  x:\n    z: 1\n# about b\nb: 3\n")


SHARED = """\
train: &steps
  # Steps.
  max: 5
  warm: 1
subject:
  <<: *steps # as train
  warm: 2
same: *steps
flow: {<<: *steps, warm: 3}
listed: [*steps, 7]
"""


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("train", "max", 9),
        ("subject", "max", 9),
        ("subject", "warm", 9),
        ("same", "max", 9),
        ("flow", "max", 9),
        ("train", "more", [1]),
    ],
)
def test_what_shares_a_value_is_edited_apart(place: str, key: str, value: Any) -> None:
    values = copy.deepcopy(load_yaml(SHARED))
    values[place] |= {key: value}
    edited = update_yaml(SHARED, values)
    assert load_yaml(edited) == read_like_dvc(edited) == values
    assert "  # Steps." in lines_of(edited)


def test_a_section_goes_without_those_that_it_shares_its_values_with() -> None:
    values = load_yaml(SHARED)
    del values["train"]
    assert load_yaml(update_yaml(SHARED, values)) == values


def test_an_edit_that_would_not_be_read_as_it_is_meant_is_refused() -> None:
    shared_key = "x: &key a\n*key : 2\n"
    with pytest.raises(ParamsError, match=r"mine\.yaml: cannot be edited \((.|\n)*\); write out what is"):
        update_yaml(shared_key, load_yaml(shared_key) | {"a": 3}, "mine.yaml")


@pytest.mark.parametrize(
    "text", [":ink style", "ink:", "- a", "# no", "a: b", "two\nlines\n", "?", "{x}, [y]"]
)
def test_any_text_is_written_so_that_it_can_be_read(text: str) -> None:
    before = "style: {source: own, template: plain}\nkept: 1 # one\n"
    values = {"style": {"source": "own", "template": text}, "kept": 1, "more": [text], text: {"a": [text]}}
    edited = update_yaml(before, values)
    assert load_yaml(edited) == read_like_dvc(edited) == yaml.safe_load(edited) == values
    assert "kept: 1 # one" in lines_of(edited)


def changed(value: Any, draw: random.Random) -> Any:
    """A value with some of its parts replaced, taken out or added to."""
    if isinstance(value, dict):
        kept = {key: changed(each, draw) for key, each in value.items() if draw.random() < 0.8}
        return kept | ({"new": some_value(draw, 2)} if draw.random() < 0.3 else {})
    return some_value(draw, 2) if draw.random() < 0.3 else value


@pytest.mark.parametrize("flow", [False, None])
@pytest.mark.parametrize("seed", range(30))
def test_any_edit_is_read_as_it_is_meant(seed: int, flow: bool | None) -> None:
    draw = random.Random(seed)
    before = {f"key{index}": some_value(draw) for index in range(4)}
    text = yaml.dump(before, sort_keys=False, allow_unicode=True, default_flow_style=flow)
    text = "\n".join(f"# about {line}" if line[:3] == "key" else line for line in text.split("\n"))
    text = re.sub(r"^# about (key.*)$", r"# about it\n\1", text, flags=re.MULTILINE)
    before = load_yaml(text)
    values = {**changed(before, draw), "last": 1}
    edited = update_yaml(text, values)
    assert load_yaml(edited) == read_like_dvc(edited) == values
    assert edited.count("# about it") == text.count("# about it")


@pytest.mark.parametrize("file", ["params.yaml", "conf/defaults.yaml"])
def test_one_other_setting_is_one_other_line(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    settings = {key: value for key, value in load_yaml(text).items() if not isinstance(value, dict)}
    for key in settings:
        edited = update_yaml(text, load_yaml(text) | {key: "other"})
        assert f"{key}: other" in lines_of(edited) - lines_of(text)
        assert lines_of(edited) < lines_of(text) | {f"{key}: other"}
