"""Formats by name. A new one: its own file, and its ``FORMAT`` in the tuple below."""

from __future__ import annotations

from oft.exchange.formats.delta import FORMAT as DELTA
from oft.exchange.formats.diffusers import FORMAT as DIFFUSERS
from oft.exchange.formats.diffusers_control import FORMAT as DIFFUSERS_CONTROL
from oft.exchange.formats.format import Format
from oft.exchange.formats.kohya import FORMAT as KOHYA
from oft.exchange.formats.lora import FORMAT as LORA
from oft.exchange.formats.onetrainer import FORMAT as ONETRAINER
from oft.exchange.formats.peft import FORMAT as PEFT

FORMATS: dict[str, Format] = {
    each.name: each for each in (PEFT, LORA, DELTA, DIFFUSERS, DIFFUSERS_CONTROL, KOHYA, ONETRAINER)
}


def takers(option: str) -> list[str]:
    """Return the names of the formats that take an option; ``dtype`` is one where there is a choice."""
    if option == "dtype":
        return [each.name for each in FORMATS.values() if len(each.precisions) > 1]
    return [each.name for each in FORMATS.values() if option in each.takes]


def describe_formats() -> str:
    """Return a sentence on each format, for ``--help``."""
    return " ".join(f"{each.name}: for {each.program}, {each.suffix_rule}." for each in FORMATS.values())


def markdown_table() -> str:
    """Return the table of the docs: program, command, exactness."""
    rows = ["| for | command | loaded there by | exact, or the error |", "| --- | --- | --- | --- |"]
    for each in FORMATS.values():
        out = "out.safetensors" if each.makes == "file" else "out"
        command = f"`oft export ADAPTER BASE {out} --format {each.name}`"
        rows.append(f"| {each.program} | {command} | {each.loads} | {each.exactness} |")
    return "\n".join(rows)
