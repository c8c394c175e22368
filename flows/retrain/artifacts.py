"""The section ``artifacts:`` of dvc.yaml, changed without touching a line of the rest, and its tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oft.storage import dump_yaml, load_yaml

# From the section's own line to the next line that begins in the first column, comments apart.
_SECTION = re.compile(r"^artifacts:.*\n(?:(?:[ \t#].*)?\n)*", re.MULTILINE)


def with_artifacts(text: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of a dvc.yaml with ``entries`` among its artifacts; others of other names stay.

    The section moves to the end. DVC's own way (ruamel) breaks and indents every line of the file anew.
    """
    known = load_yaml(text).get("artifacts") or {}
    rest = _SECTION.sub("", text).rstrip("\n")
    section = dump_yaml({"artifacts": {**known, **entries}})
    return f"{rest}\n\n{section}"


def artifact_name(task: str, adapter: str) -> str:
    """Return a name that DVC allows for an artifact: lower case, digits and hyphens."""
    return f"{task}-{adapter}".replace("_", "-")


def version_tags(text: str, folder: Path, number: int) -> list[str]:
    """Return the tags that name a decision's artifacts as GTO does, ``NAME@vN.0.0``.

    ``dvc artifacts get`` finds an artifact by them, and without a version the highest. Numbers of decisions
    grow, so that is the promoted model, also after a rollback.

    Args:
        text: of a dvc.yaml.
        folder: artifacts below it are the decision's; others are not this project's to tag.
        number: the decision's.
    """
    artifacts = load_yaml(text).get("artifacts") or {}
    ours = [name for name, entry in artifacts.items() if Path(entry["path"]).is_relative_to(folder)]
    return [f"{name}@v{number}.0.0" for name in ours]
