"""The documentation's pages, its site (mkdocs.yml) and the code agree with each other."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from oft.storage import load_yaml
from tests.library import readme_example

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
DOCUMENTED = sorted(
    name
    for page in PAGES
    for name in re.findall(r"^::: (\S+)$", (DOCS / page).read_text(), flags=re.MULTILINE)
)


def pages_in(nav: list[Any]) -> list[str]:
    """Return the pages that a navigation lists, those of its sections included."""
    found: list[str] = []
    for entry in nav:
        found += (
            [entry]
            if isinstance(entry, str)
            else [page for each in entry.values() for page in pages_in(each)]
        )
    return found


def test_the_site_has_every_page_once() -> None:
    nav = load_yaml((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(pages_in(nav)) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_of_the_documentation(page: str) -> None:
    text = re.sub(r"```.*?```", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    targets = [(DOCS / page).parent / link for link in links if not link.startswith(("https://", "http://"))]
    assert not [
        str(path) for path in targets if not path.resolve().is_relative_to(DOCS) or not path.is_file()
    ]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_an_api_page_documents_is_public_and_has_words(name: str) -> None:
    try:
        documented: Any = import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        documented = getattr(import_module(module), attribute)
    assert documented.__doc__ and not any(part.startswith("_") for part in name.split("."))


def test_start_page_and_readme_show_the_same_example() -> None:
    (code,) = re.findall(
        r"```python\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert code == readme_example()
