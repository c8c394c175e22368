"""The page as one HTML file: nothing on it is loaded, and the same findings give the same bytes."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.claims.findings import Findings
from experiments.claims.numbers import ARROWS, DIRECTIONS
from experiments.claims.page.charts import bundle_vega
from experiments.claims.page.galleries import view_gallery
from experiments.claims.page.styles import style_series
from experiments.claims.page.views import VERDICTS, summarise_claims, view_claims, view_table
from experiments.claims.reading import anchor, check_findings
from oft.storage import atomic_file

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
_TEMPLATE = "page.html"


def render_page(findings: Findings, folder: Path, out: Path) -> None:
    """Write the evidence as one self-contained HTML file.

    Args:
        folder: where the pictures lie that the findings name.
        out: the file; its folder is made where it is missing.

    Raises:
        DataError: the findings are at odds with themselves, or a picture is missing, damaged or outside
            ``folder``.
        UserError: what draws the charts is not installed.
    """
    check_findings(findings)
    styles = style_series(series.name for chart in findings.charts for series in chart.series)
    galleries = [view_gallery(gallery, folder) for gallery in findings.galleries]
    scripts = [*([_licensed_vega()] if findings.charts else []), _read("page.js")]
    html = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            findings=findings,
            summary=summarise_claims(findings.claims),
            claims=view_claims(findings, styles),
            tables=[view_table(table) for table in findings.tables],
            heroes=[view for view in galleries if view.gallery.kind == "hero"],
            galleries=[view for view in galleries if view.gallery.kind == "samples"],
            failures=[view for view in galleries if view.gallery.kind == "failures"],
            css=_read("page.css"),
            scripts=scripts,
            hashes=[_csp_hash(script) for script in scripts],
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(out) as partial:
        # Captions are other people's text: half a surrogate pair must not stop the page.
        partial.write_bytes(html.encode("utf-8", errors="replace"))


@cache
def _licensed_vega() -> str:
    """Return Vega with its licence, which whoever hands it on must keep with it."""
    return f"/*!\n{_read('VEGA-LICENSE')}*/\n{bundle_vega()}\n"


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    """Return what a Content-Security-Policy names an inline script by, so that no other runs."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"VERDICTS": VERDICTS, "ARROWS": ARROWS, "DIRECTIONS": DIRECTIONS}
    environment.filters |= {
        "anchor": anchor,
        "percent": lambda value: f"{value:.2f}".rstrip("0").rstrip("."),
    }
    return environment
