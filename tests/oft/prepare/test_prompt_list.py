"""A file of prompts: templates in its order, or the line that breaks the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.errors import DataError
from oft.prepare.prompt_list import read_prompt_list


def test_prompts_are_templates_in_the_file_s_order(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text(
        "a {} in the snow\n\n  {identifier}, a red {class}  \njust {identifier}\n", encoding="utf-8"
    )
    assert read_prompt_list(path) == [
        "a {identifier} {class} in the snow",
        "{identifier}, a red {class}",
        "just {identifier}",
    ]


@pytest.mark.parametrize(
    "line", ["a dog", "a {class}", "a {} {identifier}", "{0}", "{{}}", "a {", "{identifier!r}", "{} \x07"]
)
def test_a_line_that_breaks_the_rule_is_named_with_the_remedy(tmp_path: Path, line: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text(f"a {{}}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"prompts.txt, line 3: .*names the subject by .*mend the line"):
        read_prompt_list(path)


@pytest.mark.parametrize("text", [None, "\n\n"])
def test_a_file_without_a_prompt_is_refused_with_what_to_write(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "prompts.txt"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"prompts.txt.*one"):
        read_prompt_list(path)
